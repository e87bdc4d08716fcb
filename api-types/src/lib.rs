//! windlass-api-types
