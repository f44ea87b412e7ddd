"""Studies over HTTP: does it help?"""
