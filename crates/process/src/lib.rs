//! One application as the operating system sees it.
