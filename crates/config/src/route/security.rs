//! `security = true`

use crate::document::Section;
use crate::model::Template;
use crate::value;

/// What browsers are told where the application says nothing: as a new Rails application does.
const FIELDS: &[(&str, &str)] = &[
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("X-Permitted-Cross-Domain-Policies", "none"),
];

pub(super) fn read(section: &Section<'_>) -> Vec<(String, Template)> {
    if !section.or("security", false, value::boolean) {
        return Vec::new();
    }
    FIELDS.iter().map(|&(name, text)| (name.to_owned(), Template::text(text))).collect()
}
