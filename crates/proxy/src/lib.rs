//! One request: route, buffer, forward, respond.
