"""POST /verify: which sample is this picture?"""
