//! Distinguished names as text (RFC 4514).

use std::fmt::Write;

use x509_parser::asn1_rs::{Any, Tag, ToDer};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// `name` as RFC 4514 writes it: the last part first, and nothing in it but printable ASCII. What is special, a control or
/// not ASCII stands as backslash and two hexadecimal digits per byte of its UTF-8, as nginx and `openssl x509 -nameopt
/// RFC2253` do it, so no certificate can bring a line break or bytes of another character set into a field.
pub(crate) fn written(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (index, part) in parts.iter().rev().enumerate() {
        for (inner, attribute) in part.iter().enumerate() {
            if inner > 0 {
                text.push('+');
            } else if index > 0 {
                text.push(',');
            }
            write_attribute(&mut text, attribute);
        }
    }
    text
}

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let kind = attribute.attr_type().to_id_string();
    let short = short_name(&kind);
    text.push_str(short.unwrap_or(&kind));
    text.push('=');
    match short.and_then(|_| decoded(attribute.attr_value())) {
        Some(value) => write_escaped(text, &value),
        // RFC 4514 2.4: what has no name or no text is written as the bytes of its BER encoding.
        None => {
            text.push('#');
            for byte in attribute.attr_value().to_der_vec().unwrap_or_default() {
                let _ = write!(text, "{byte:02X}");
            }
        }
    }
}

/// The registered names (RFC 4519, RFC 4514 3), as OpenSSL writes them.
fn short_name(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.17" => "postalCode",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.65" => "pseudonym",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// The text of a string of any of ASN.1's kinds; `None` for what is no string, or a damaged one.
fn decoded(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        // T.61, of which in practice Latin-1 is meant.
        Tag::TeletexString => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
        Tag::BmpString => {
            let (units, rest) = bytes.as_chunks::<2>();
            let units: Vec<_> = units.iter().map(|&unit| u16::from_be_bytes(unit)).collect();
            rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
        }
        Tag::UniversalString => {
            let (units, rest) = bytes.as_chunks::<4>();
            let text = units.iter().map(|&unit| char::from_u32(u32::from_be_bytes(unit))).collect();
            rest.is_empty().then_some(text).flatten()
        }
        _ => None,
    }
}

fn write_escaped(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (index, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'#' if index == 0 => text.push_str("\\#"),
            // As hexadecimal: a backslash and a space at the end of a field's line would lose the space.
            b' ' if index == 0 || index == last => text.push_str("\\20"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}
