//! windlass-worker
