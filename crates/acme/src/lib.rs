//! Certificates by themselves (RFC 8555): account, orders, store on disk, renewal.
