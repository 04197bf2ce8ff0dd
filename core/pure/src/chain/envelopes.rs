//! The answer to a batch of JSON-RPC calls, divided into the results.
//!
//! Where a result ends is seen from its brackets alone, outside of strings: whoever reads the result finds out whether
//! what is between them is JSON. So a body that is JSON is divided rightly or not at all, and of one that is not a part
//! is not.

use memchr::{memchr, memchr_iter, memchr2_iter};

const HEADS: [(&[u8], &[u8]); 3] = [
    (b"{\"jsonrpc\":\"2.0\",\"id\":", b",\"result\":"),
    (b"{\"id\":", b",\"jsonrpc\":\"2.0\",\"result\":"),
    (b"{\"jsonrpc\":\"2.0\",\"result\":", b""), // the id comes behind the result
];
const DIGITS_MAX: usize = 6; // of an id

/// Where each result stands, in the order of the ids 1 to `count`; None if anything is unusual.
///
/// An error in the place of a result is unusual, and so are white space, escapes and further members.
pub fn split(body: &[u8], count: usize) -> Option<Vec<(usize, usize)>> {
    let start = body.iter().position(|c| !c.is_ascii_whitespace())?;
    let end = body.iter().rposition(|c| !c.is_ascii_whitespace())? + 1;
    if body[start] != b'[' || end - start < 2 || body[end - 1] != b']' || memchr(b'\\', body).is_some() {
        return None;
    }
    let mut found = vec![None; count];
    let mut at = start + 1;
    for place in 0..count {
        let (id, first, last, next) = envelope(&body[..end - 1], at)?;
        let slot = found.get_mut(id.checked_sub(1)?)?;
        if slot.replace((first, last)).is_some() {
            return None;
        }
        let is_last = place + 1 == count;
        if is_last != (next == end - 1) || (!is_last && body[next] != b',') {
            return None;
        }
        at = next + 1;
    }
    found.into_iter().collect()
}

/// The id, the first byte of the result and the one behind it, and the byte behind the envelope.
fn envelope(body: &[u8], at: usize) -> Option<(usize, usize, usize, usize)> {
    let rest = body.get(at..)?;
    for (before, behind) in HEADS {
        let Some(tail) = rest.strip_prefix(before) else { continue };
        let (id, first) = if behind.is_empty() {
            (None, at + before.len())
        } else {
            let (id, digits) = number(tail)?;
            let Some(_) = tail[digits..].strip_prefix(behind) else { continue };
            (Some(id), at + before.len() + digits + behind.len())
        };
        let last = value(body, first)?;
        return match id {
            Some(id) => (*body.get(last)? == b'}').then_some((id, first, last, last + 1)),
            None => {
                let tail = body[last..].strip_prefix(b",\"id\":")?;
                let (id, digits) = number(tail)?;
                let next = body.len() - tail.len() + digits + 1;
                (*tail.get(digits)? == b'}').then_some((id, first, last, next))
            }
        };
    }
    None
}

fn number(text: &[u8]) -> Option<(usize, usize)> {
    let digits = text.iter().take(DIGITS_MAX + 1).take_while(|c| c.is_ascii_digit()).count();
    if digits == 0 || digits > DIGITS_MAX || text[0] == b'0' {
        return None;
    }
    let value = text[..digits].iter().fold(0, |value, c| 10 * value + usize::from(c - b'0'));
    Some((value, digits))
}

/// The byte behind the value that begins at `first`: of an object or an array the bracket that closes it.
fn value(body: &[u8], first: usize) -> Option<usize> {
    let text = &body[first..];
    let (open, close) = match text.first()? {
        b'{' => (b'{', b'}'),
        b'[' => (b'[', b']'),
        b'"' => return Some(first + 1 + memchr(b'"', &text[1..])? + 1),
        b'n' => return text.starts_with(b"null").then_some(first + 4),
        _ => return None,
    };
    let (mut depth, mut seen) = (0u32, 0);
    for place in memchr2_iter(open, close, text) {
        if memchr_iter(b'"', &text[seen..place]).count() % 2 == 1 {
            return None; // within a string
        }
        seen = place;
        if text[place] == open {
            depth += 1;
        } else {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(first + place + 1);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::split;

    fn parts(body: &str, count: usize) -> Option<Vec<&str>> {
        Some(split(body.as_bytes(), count)?.into_iter().map(|(first, last)| &body[first..last]).collect())
    }

    #[test]
    fn the_usual_forms_in_any_order() {
        for body in [
            r#"[{"jsonrpc":"2.0","id":1,"result":{"a":[{}]}},{"jsonrpc":"2.0","id":2,"result":null}]"#,
            r#"[{"id":2,"jsonrpc":"2.0","result":null},{"jsonrpc":"2.0","result":{"a":[{}]},"id":1}]"#,
            "\n [{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":null},{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":{\"a\":[{}]}}]\r\n",
        ] {
            assert_eq!(parts(body, 2), Some(vec![r#"{"a":[{}]}"#, "null"]), "{body}");
        }
        let body = r#"[{"jsonrpc":"2.0","id":1,"result":[[],["}]"],{}]},{"jsonrpc":"2.0","id":2,"result":"0x1"}]"#;
        assert_eq!(parts(body, 2), None); // a bracket in a string
        assert_eq!(parts(&body.replace("}]\"", "}\""), 2), Some(vec![r#"[[],["}"],{}]"#, r#""0x1""#]));
    }

    #[test]
    fn what_is_unusual_is_left() {
        let usual = r#"[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"result":{}}]"#;
        assert!(parts(usual, 2).is_some());
        for (from, to) in [
            (r#""id":2"#, r#""id":1"#),
            (r#""id":2"#, r#""id":3"#),
            (r#""id":2"#, r#""id":0"#),
            (r#""id":2"#, r#""id":02"#),
            (r#""id":2"#, r#""id":"2""#),
            (r#""id":2"#, r#""id":12345678901234567890123"#),
            (r#""id":1,"#, r#""id": 1,"#),
            (r#"{}}]"#, r#"{},"more":{}}]"#),
            (r#"{}}]"#, r#"{}]"#),
            (r#"{}}]"#, r#"{}}"#),
            (r#"{}}]"#, r#"{}},]"#),
            (r#"{}}]"#, r#"{}}{}]"#),
            (r#"{}}]"#, r#"{}}}]"#),
            (r#"{}}]"#, r#"5}]"#),
            (r#"{}}]"#, r#"}]"#),
            (r#"{}},{"#, r#"{}};{"#),
            (r#"{}},{"#, r#"{"\u0061":1}},{"#),
            (r#""result":{}}]"#, r#""error":{"code":1}}]"#),
            (r#"[{"#, r#"{"#),
        ] {
            assert_eq!(parts(&usual.replacen(from, to, 1), 2), None, "{from} {to}");
        }
        for body in ["", " ", "[", "]", "[]", "{}", "[]]", "null"] {
            assert_eq!(parts(body, 1), None, "{body}");
        }
        assert_eq!((parts(usual, 1), parts(usual, 3), parts("[]", 0)), (None, None, Some(vec![])));
    }

    #[test]
    fn every_text_that_is_cut_short_is_left() {
        let usual =
            r#"[{"jsonrpc":"2.0","result":{"a":["x",{"b":null}]},"id":1},{"jsonrpc":"2.0","id":2,"result":[]}]"#;
        assert!(parts(usual, 2).is_some());
        for size in 0..usual.len() {
            assert_eq!(parts(&usual[..size], 2), None);
        }
    }
}
