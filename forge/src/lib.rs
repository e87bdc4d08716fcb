//! windlass-forge
