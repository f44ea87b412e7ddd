"""Reader studies on the disk: can people tell synthetic images from real ones?"""
