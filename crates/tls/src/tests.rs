//! Tests against rustls' client, in memory, and the `openssl` program. All certificates are made when they run.

mod certificate;
mod challenges;
mod clients;
mod local;
mod names;
mod openssl;
mod profile;
mod reload;
mod resumption;
mod support;
