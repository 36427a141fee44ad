//! A quantity without rounding: parsed, compared, added to and printed as Kubernetes does, in whole billionths.
//!
//! ```text
//! "1.5Gi" -> Quantity -> plus_percent(50) -> "2304Mi"
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Billionths in one: no quantity is finer.
const ONE: i128 = 1_000_000_000;
/// The largest quantity that Kubernetes knows.
const MAX: i128 = (i64::MAX as i128) * ONE;

/// Suffix and size of each decimal unit in billionths, the largest first.
const DECIMAL: [(&str, i128); 10] = [
    ("E", ONE * 1_000_000_000_000_000_000),
    ("P", ONE * 1_000_000_000_000_000),
    ("T", ONE * 1_000_000_000_000),
    ("G", ONE * 1_000_000_000),
    ("M", ONE * 1_000_000),
    ("k", ONE * 1000),
    ("", ONE),
    ("m", 1_000_000),
    ("u", 1000),
    ("n", 1),
];

/// Suffix and size of each binary unit in billionths, the largest first.
const BINARY: [(&str, i128); 7] = [
    ("Ei", ONE << 60),
    ("Pi", ONE << 50),
    ("Ti", ONE << 40),
    ("Gi", ONE << 30),
    ("Mi", ONE << 20),
    ("Ki", ONE << 10),
    ("", ONE),
];

/// In which family of suffixes a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// `1500m`, `2G`.
    Decimal,
    /// `512Mi`.
    Binary,
    /// `12e6`.
    Exponent,
}

/// An exact quantity with the family of suffixes it was written in. Equal and ordered by value: `1Gi` is `1024Mi`.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    billionths: i128,
    family: Family,
}

/// Not a quantity that Kubernetes takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a quantity, such as 250m, 2 or 1.5Gi")]
pub struct NotAQuantity(String);

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { billionths: 0, family: Family::Decimal };

    /// So many thousandths, written in decimal suffixes: how CPU is counted.
    pub fn thousandths(count: u64) -> Self {
        Self { billionths: (i128::from(count) * 1_000_000).min(MAX), family: Family::Decimal }
    }

    /// So many whole ones, written in binary suffixes: how memory is counted.
    pub fn bytes(count: u64) -> Self {
        Self { billionths: (i128::from(count) * ONE).min(MAX), family: Family::Binary }
    }

    /// The same value in the family of `other`.
    #[must_use]
    pub fn like(self, other: Self) -> Self {
        Self { family: other.family, ..self }
    }

    /// The value in whole thousandths, rounded up.
    pub fn in_thousandths(self) -> i128 {
        up(self.billionths, 1_000_000)
    }

    /// The value in whole ones, rounded up.
    pub fn in_ones(self) -> i128 {
        up(self.billionths, ONE)
    }

    /// It is a whole number of `other`.
    pub fn is_multiple_of(self, other: Self) -> bool {
        other.billionths != 0 && self.billionths % other.billionths == 0
    }

    /// It is more than nothing.
    pub fn is_positive(self) -> bool {
        self.billionths > 0
    }

    /// It is less than nothing.
    pub fn is_negative(self) -> bool {
        self.billionths < 0
    }

    /// The sum in this one's family; `None` beyond what Kubernetes knows.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.with(self.billionths.checked_add(other.billionths)?)
    }

    /// The difference in this one's family; `None` beyond what Kubernetes knows.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        self.with(self.billionths.checked_sub(other.billionths)?)
    }

    /// So many times it; `None` beyond what Kubernetes knows.
    #[must_use]
    pub fn times(self, count: i64) -> Option<Self> {
        self.with(self.billionths.checked_mul(i128::from(count))?)
    }

    /// That many percent more, exact but for what is finer than a billionth, which is rounded up; `None` beyond what
    /// Kubernetes knows.
    #[must_use]
    pub fn plus_percent(self, percent: u32) -> Option<Self> {
        self.with(up(self.billionths.checked_mul(100 + i128::from(percent))?, 100))
    }

    /// Rounded up to a whole unit of its family: the largest of which it has at least twenty, so that it grows by five
    /// percent at most, and none finer than `finest`. What is whole in a larger unit stays as it is.
    #[must_use]
    pub fn rounded_up(self, finest: Self) -> Option<Self> {
        let units: &[(&str, i128)] = if self.family == Family::Binary { &BINARY } else { &DECIMAL };
        let allowed = || units.iter().map(|(_, size)| *size).filter(|size| *size >= finest.billionths);
        let unit = allowed().find(|size| self.billionths / size >= 20).or_else(|| allowed().next_back())?;
        self.with(up(self.billionths, unit).checked_mul(unit)?)
    }

    fn with(self, billionths: i128) -> Option<Self> {
        (billionths.abs() <= MAX).then_some(Self { billionths, ..self })
    }
}

/// The quotient rounded up.
fn up(value: i128, by: i128) -> i128 {
    value.div_euclid(by) + i128::from(value.rem_euclid(by) != 0)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.billionths == other.billionths
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.billionths.cmp(&other.billionths)
    }
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        parse(text).ok_or_else(|| NotAQuantity(text.chars().take(40).collect()))
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let find = |units: &[(&str, i128)]| units.iter().find(|(name, _)| *name == suffix).map(|(_, size)| *size);
    let (family, size, power) = if let Some(size) = find(&DECIMAL) {
        (Family::Decimal, size, 0)
    } else if let Some(size) = find(&BINARY) {
        (Family::Binary, size, 0)
    } else {
        (Family::Exponent, ONE, suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?)
    };
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => (-1, number),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction_digits = fraction.trim_end_matches('0');
    if (whole.is_empty() && fraction.is_empty()) || !format!("{whole}{fraction}").bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = format!("0{}{fraction_digits}", whole.trim_start_matches('0'));
    // Forty digits are more than any quantity has; a longer number is refused, never cut.
    let digits: i128 = digits.parse().ok()?;
    let power = power.checked_sub(i32::try_from(fraction_digits.len()).ok()?)?;
    let billionths = if digits == 0 { 0 } else { shifted(digits.checked_mul(size)?, power)? };
    let quantity = Quantity { billionths: 0, family };
    // Kubernetes cuts what is larger to its largest; a plan is no place for that.
    quantity.with(sign * billionths)
}

/// `value * 10^power`, rounded up: less than a billionth counts as one, as in Kubernetes.
fn shifted(value: i128, power: i32) -> Option<i128> {
    match (10_i128.checked_pow(power.unsigned_abs()), power) {
        (Some(factor), 0..) => value.checked_mul(factor),
        (None, 0..) => None,
        (Some(factor), _) => Some(up(value, factor)),
        (None, _) => Some(1),
    }
}

/// The canonical form: the largest suffix that needs no fraction. What is written in binary suffixes and is less than 1Ki,
/// or not whole, turns decimal.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.billionths == 0 {
            return f.write_str("0");
        }
        let whole = |size: &i128| self.billionths % size == 0;
        let binary = self.family == Family::Binary && self.billionths.abs() >= ONE << 10 && whole(&ONE);
        let units: &[(&str, i128)] = if binary { &BINARY } else { &DECIMAL };
        // A billionth is always whole, and so is one among the binary ones.
        let (place, (suffix, size)) = units.iter().enumerate().find(|(_, (_, size))| whole(size)).ok_or(fmt::Error)?;
        let count = self.billionths / size;
        match (self.family, 18 - 3 * place as i32) {
            (Family::Exponent, 0) => write!(f, "{count}"),
            (Family::Exponent, exponent) => write!(f, "{count}e{exponent}"),
            _ => write!(f, "{count}{suffix}"),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
