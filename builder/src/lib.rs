//! windlass-builder
