//! Certificates by name, their files, session tickets, client certificates, ACME challenges.
