//! windlass-source
