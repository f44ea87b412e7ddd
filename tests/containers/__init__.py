"""The images of the Dockerfile, built by buildah and started: no engine is needed, root is."""
