//! windlass-e2e
