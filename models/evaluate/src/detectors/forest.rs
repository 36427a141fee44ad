//! An isolation forest (F. T. Liu, K. M. Ting, Z.-H. Zhou, Isolation Forest, ICDM 2008) of each pod's own past: what random cuts
//! soon set apart is odd. 100 trees of 256 samples at most, as its authors advise; planted anew each twenty minutes.

use std::collections::VecDeque;

use guard_model::features::{SIGNALS, Signals, log_values};
use guard_train::draw::Draw;

use super::window::forget;
use super::{Detector, LEAST_SAMPLES, REFIT_SECONDS};

const TREES: usize = 100;
const SAMPLES: usize = 256;
/// Signals in log units, and their change since the sample before; NaN is unknown.
const DIMENSIONS: usize = 2 * SIGNALS;
/// Euler's constant.
const GAMMA: f64 = 0.577_215_664_9;

type Point = [f64; DIMENSIONS];

/// The past of one pod, and the forest that it made last.
pub(super) struct IsolationForest {
    draw: Draw,
    last: [f64; SIGNALS],
    points: VecDeque<(f64, Point)>,
    forest: Option<Forest>,
    planted: Option<f64>,
}

impl Default for IsolationForest {
    fn default() -> IsolationForest {
        let (points, last) = (VecDeque::new(), [f64::NAN; SIGNALS]);
        IsolationForest { draw: Draw::new(1), last, points, forest: None, planted: None }
    }
}

impl Detector for IsolationForest {
    fn score(&mut self, at: f64, signals: &Signals) -> f64 {
        let values = log_values(signals.values);
        let before = std::mem::replace(&mut self.last, values);
        let point: Point =
            std::array::from_fn(|i| if i < SIGNALS { values[i] } else { values[i - SIGNALS] - before[i - SIGNALS] });
        if self.planted.is_none_or(|then| at - then >= REFIT_SECONDS) && self.points.len() >= LEAST_SAMPLES {
            self.planted = Some(at);
            let points: Vec<Point> = self.points.iter().map(|(_, point)| *point).collect();
            self.forest = Forest::of(&points, &mut self.draw);
        }
        self.points.push_back((at, point));
        forget(&mut self.points, at);
        self.forest.as_ref().map_or(0.0, |forest| forest.score(&point))
    }
}

struct Forest {
    trees: Vec<Node>,
    /// What the trees cut.
    known: Vec<usize>,
    /// Samples of a tree.
    samples: usize,
}

enum Node {
    Leaf(usize),
    Cut { dimension: usize, at: f64, below: Box<Node>, above: Box<Node> },
}

impl Forest {
    /// Of what is known in the last point; none if that is nothing, or known of no other.
    fn of(points: &[Point], draw: &mut Draw) -> Option<Forest> {
        let last = points.last()?;
        let known: Vec<usize> = (0..DIMENSIONS).filter(|&d| last[d].is_finite()).collect();
        let whole = |point: &&Point| known.iter().all(|&d| point[d].is_finite());
        let points: Vec<Point> = points.iter().filter(whole).copied().collect();
        let samples = points.len().min(SAMPLES);
        if known.is_empty() || samples < 2 {
            return None;
        }
        let height = samples.next_power_of_two().ilog2();
        let trees = (0..TREES).map(|_| grow(&mut sample(&points, samples, draw), &known, height, draw)).collect();
        Some(Forest { trees, known, samples })
    }

    /// 0.5 and less is usual, 1 is set apart at once; 0 if something that the trees cut is unknown.
    fn score(&self, point: &Point) -> f64 {
        if self.known.iter().any(|&dimension| point[dimension].is_nan()) {
            return 0.0;
        }
        let mean = self.trees.iter().map(|tree| path(tree, point)).sum::<f64>() / self.trees.len() as f64;
        (-mean / usual_path(self.samples)).exp2()
    }
}

/// So many of the points, none of them twice (Fisher and Yates).
fn sample(points: &[Point], count: usize, draw: &mut Draw) -> Vec<Point> {
    let mut all = points.to_vec();
    for i in 0..count {
        let other = draw.integer(i, all.len());
        all.swap(i, other);
    }
    all.truncate(count);
    all
}

fn grow(points: &mut [Point], known: &[usize], height: u32, draw: &mut Draw) -> Node {
    if height == 0 || points.len() < 2 {
        return Node::Leaf(points.len());
    }
    let Some((dimension, low, high)) = spread(points, known, draw) else { return Node::Leaf(points.len()) };
    let at = draw.uniform(low, high);
    let below = partition(points, |point| point[dimension] < at);
    let (left, right) = points.split_at_mut(below);
    let (below, above) = (grow(left, known, height - 1, draw), grow(right, known, height - 1, draw));
    Node::Cut { dimension, at, below: Box::new(below), above: Box::new(above) }
}

/// One of the dimensions in which the points differ, each as likely, with their range in it. Ranges are what planting
/// costs: they are looked at only until one will do.
fn spread(points: &[Point], known: &[usize], draw: &mut Draw) -> Option<(usize, f64, f64)> {
    let mut left = known.to_vec();
    while !left.is_empty() {
        let d = left.swap_remove(draw.integer(0, left.len()));
        let both = |(low, high): (f64, f64), p: &Point| (low.min(p[d]), high.max(p[d]));
        let (low, high) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), both);
        if high > low {
            return Some((d, low, high));
        }
    }
    None
}

/// Moves what `is_first` says to the front and gives how many they are.
fn partition(points: &mut [Point], is_first: impl Fn(&Point) -> bool) -> usize {
    let mut first = 0;
    for i in 0..points.len() {
        if is_first(&points[i]) {
            points.swap(i, first);
            first += 1;
        }
    }
    first
}

/// Cuts until the point is alone, or as good as.
fn path(tree: &Node, point: &Point) -> f64 {
    let (mut node, mut cuts) = (tree, 0.0);
    loop {
        match node {
            Node::Leaf(points) => return cuts + usual_path(*points),
            Node::Cut { dimension, at, below, above } => {
                node = if point[*dimension] < *at { below } else { above };
                cuts += 1.0;
            }
        }
    }
}

/// Mean cuts of an unsuccessful search in a binary tree of so many points.
fn usual_path(points: usize) -> f64 {
    match points {
        0 | 1 => 0.0,
        2 => 1.0,
        n => {
            let n = n as f64;
            2.0 * ((n - 1.0).ln() + GAMMA) - 2.0 * (n - 1.0) / n
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_path_is_that_of_the_paper() {
        assert!(usual_path(1).abs() < 1e-12 && (usual_path(2) - 1.0).abs() < 1e-12);
        assert!((usual_path(256) - 10.244_770_9).abs() < 1e-6, "{}", usual_path(256));
    }

    #[test]
    fn what_lies_apart_scores_high_and_what_lies_in_the_middle_does_not() {
        let mut draw = Draw::new(3);
        let points: Vec<Point> = (0..300).map(|_| std::array::from_fn(|_| draw.normal(0.0, 1.0))).collect();
        let forest = Forest::of(&points, &mut draw).unwrap();
        let (middle, apart) = (forest.score(&[0.0; DIMENSIONS]), forest.score(&[6.0; DIMENSIONS]));
        assert!(middle < 0.45 && apart > 0.7, "{middle} {apart}");
    }

    #[test]
    fn the_unknown_is_cut_by_no_tree_and_a_sample_without_what_is_cut_is_not_scored() {
        let mut points: Vec<Point> = (0..40).map(|i| [f64::from(i); DIMENSIONS]).collect();
        for point in &mut points {
            point[3] = f64::NAN;
        }
        let forest = Forest::of(&points, &mut Draw::new(1)).unwrap();
        assert!(!forest.known.contains(&3));
        let mut unknown = [5.0; DIMENSIONS];
        assert!(forest.score(&unknown) > 0.0);
        unknown[0] = f64::NAN;
        assert!(forest.score(&unknown).abs() < f64::EPSILON);
    }
}
