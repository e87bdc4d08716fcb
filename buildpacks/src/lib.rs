//! windlass-buildpacks
