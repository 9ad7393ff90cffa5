//! Counts, sizes and money as people read them.

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 run`, `2 runs`
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// `812 B`, `3.1 KiB`, `64.0 MiB`
pub(crate) fn bytes(number: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut tenths = number.saturating_mul(10);
    let mut unit = "B";
    for next in units {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    if unit == "B" {
        format!("{number} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// Millionths of a dollar as `$0.0042`, `$1.20`.
pub(crate) fn dollars(micros: u64) -> String {
    if micros == 0 || micros >= 1_000_000 {
        let cents = (micros + 5_000) / 10_000;
        format!("${}.{:02}", cents / 100, cents % 100)
    } else {
        format!("$0.{:04}", (micros + 50) / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "run"), "1 run");
        assert_eq!(counted(1_200, "run"), "1,200 runs");
    }

    #[test]
    fn tells_sizes() {
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(3_174), "3.0 KiB");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
    }

    #[test]
    fn tells_money() {
        assert_eq!(dollars(0), "$0.00");
        assert_eq!(dollars(4_200), "$0.0042");
        assert_eq!(dollars(1_204_999), "$1.20");
    }
}
