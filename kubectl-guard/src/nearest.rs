//! The word that was probably meant.

/// How alike two words must be, from 0 to 1: two letters of five may be wrong.
const NEAR: f64 = 0.6;

/// Of the known words the one that is most like `word`, if any is.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|known| (strsim::normalized_damerau_levenshtein(word, known), known));
    near.filter(|(near, _)| *near >= NEAR).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}
