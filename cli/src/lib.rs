//! windlass-cli
