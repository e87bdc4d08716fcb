//! windlass-runtime-docker
