//! Upstreams that speak HTTP/2, and those that are spoken to over TLS with a trust of their own.

mod exchanges;
mod streams;
mod trust;
