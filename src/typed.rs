//! What was typed on the command line, as messages may repeat it. People type an address
//! with its login where another argument belongs, and the message goes into a terminal's
//! log, a script's mail or systemd's journal.

/// `text` without those of the arguments in which a login or a token may be.
pub fn without_secrets(text: &str) -> String {
    hide(text, std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()))
}

fn hide(text: &str, arguments: impl Iterator<Item = String>) -> String {
    let values = arguments.flat_map(|argument| match argument.split_once('=') {
        Some((name, value)) if name.starts_with("--") => [value.to_owned(), argument],
        _ => [argument, String::new()],
    });
    let mut secrets: Vec<String> = values.filter(|value| may_hold_a_secret(value)).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
}

/// An address, but for a broker's with nothing in it but host and port.
fn may_hold_a_secret(value: &str) -> bool {
    match value.split_once("://") {
        Some((scheme, rest)) => {
            rest.contains(['@', '?', '#']) || !["mqtt", "mqtts"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        }
        None => value.contains('@'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_logins_are_not_repeated_and_all_else_is() {
        let shown = |argument: &str, text: &str| hide(text, [argument.to_owned(), "check".to_owned()].into_iter());
        for secret in [
            "rtsp://a:hunter2@cam/s",
            "mqtt://a:hunter2@h",
            "https://cam/?t=hunter2",
            "rtsp://cam/hunter2",
            "a:hunter2@cam",
        ] {
            assert_eq!(shown(secret, &format!("unexpected '{secret}' found")), "unexpected '***' found");
            let option = format!("--out={secret}");
            assert_eq!(shown(&option, &format!("'{option}': '{secret}' is none")), "'***': '***' is none");
        }
        for plain in ["mqtt://h:1883", "a.toml", "--out=x.png", "check"] {
            let text = format!("unexpected '{plain}' found");
            assert_eq!(shown(plain, &text), text);
        }
    }
}
