"""The store: what machines without a common disk share, in a bucket; the data folder is its cache.

objects.py   names and bytes: S3 by fsspec, a folder, or memory
folders.py   a folder as objects: files by their SHA-256, then the manifest that makes it exist
versions.py, runs.py, records.py   what is shared of the model library, run folders, datasets
                                   and reports
shared.py    all of it for one data folder, and what to do when the bucket has changed
"""
