//! windlass-router
