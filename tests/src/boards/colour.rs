//! The colours of a picture.

use serde_json::Value;

/// Behind everything.
pub const BACKGROUND: &str = "#111217";
/// Behind a panel.
pub const PANEL: &str = "#181b1f";
/// Around a panel, and between a table's rows.
pub const BORDER: &str = "#2c3036";
/// Lines of a scale.
pub const GRID: &str = "#2b2e34";
/// Words.
pub const TEXT: &str = "#d8d9da";
/// Words beside the point.
pub const DIM: &str = "#9fa3a9";

/// Series without a colour of their own take these in turn.
const SERIES: [&str; 10] =
    ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#37b6c3", "#8f6f4e", "#c0d8ff", "#ffa6b0"];
/// From 0 to 1: green, yellow, red.
const SCALE: [[f64; 3]; 3] = [[115.0, 191.0, 105.0], [250.0, 222.0, 42.0], [242.0, 73.0, 92.0]];

/// The colour of a series by its place.
pub fn of_series(place: usize) -> &'static str {
    SERIES[place % SERIES.len()]
}

/// A colour by the name that boards have for it.
pub fn named(name: &str) -> &'static str {
    match name {
        "green" => "#73bf69",
        "orange" => "#ff9830",
        "red" => "#f2495c",
        "blue" => "#5794f2",
        "purple" => "#b877d9",
        "yellow" => "#fade2a",
        _ => TEXT,
    }
}

/// The colour that a field is fixed to, if it is.
pub fn fixed(field: &Value) -> Option<&'static str> {
    (field["color"]["mode"] == "fixed").then(|| named(field["color"]["fixedColor"].as_str().unwrap_or_default()))
}

/// The steps of a field's thresholds: from where on, and the colour.
pub fn steps(field: &Value) -> Vec<(Option<f64>, &'static str)> {
    let steps = field["thresholds"]["steps"].as_array().into_iter().flatten();
    steps.map(|step| (step["value"].as_f64(), named(step["color"].as_str().unwrap_or_default()))).collect()
}

/// The colour of a value by the field's thresholds, if it has any.
pub fn by_threshold(field: &Value, value: f64) -> Option<&'static str> {
    let reached = |(from, _): &(Option<f64>, _)| from.is_none_or(|from| value >= from);
    steps(field).into_iter().rev().find(reached).map(|(_, colour)| colour)
}

/// The colour of a place on the scale from 0, green, to 1, red.
pub fn on_scale(share: f64) -> String {
    let along = share.clamp(0.0, 1.0) * 2.0;
    let (first, rest) = if along < 1.0 { (0, along) } else { (1, along - 1.0) };
    let mixed = |i: usize| (SCALE[first][i] + (SCALE[first + 1][i] - SCALE[first][i]) * rest).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mixed(0), mixed(1), mixed(2))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_the_colour_of_the_last_step_that_it_reaches() {
        let field =
            json!({"thresholds": {"steps": [{"color": "green", "value": null}, {"color": "red", "value": 0.7}]}});
        assert_eq!(by_threshold(&field, 0.69), Some(named("green")));
        assert_eq!(by_threshold(&field, 0.7), Some(named("red")));
        assert_eq!(by_threshold(&json!({}), 0.7), None);
    }

    #[test]
    fn the_scale_goes_from_green_over_yellow_to_red() {
        assert_eq!([-1.0, 0.5, 2.0].map(on_scale), ["#73bf69", "#fade2a", "#f2495c"]);
    }
}
