//! What may stand at the place where somebody types. Pure.

use clap::builder::PossibleValue;
use clap::{Arg, Command};

/// The words typed so far, understood as far as they can be.
pub(super) struct Typed<'a> {
    root: &'a Command,
    command: &'a Command,
    /// The flag whose value is being typed.
    pub(super) flag: Option<&'a Arg>,
    /// What is there of the word that is being typed.
    begun: &'a str,
    /// The kubeconfig that was named.
    pub(super) kubeconfig: Option<&'a str>,
}

impl<'a> Typed<'a> {
    /// Walks the words; the last one is being typed.
    pub(super) fn of(root: &'a Command, words: &'a [String]) -> Self {
        let (begun, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
        let mut typed = Self { root, command: root, flag: None, begun, kubeconfig: None };
        for word in before {
            typed.take(word);
        }
        // A shell completes what stands behind the sign alone.
        if let Some((flag, value)) = begun.split_once('=').filter(|_| typed.flag.is_none())
            && let Some(arg) = typed.find(flag)
        {
            (typed.flag, typed.begun) = (Some(arg), value);
        }
        typed
    }

    fn take(&mut self, word: &'a str) {
        if let Some(flag) = self.flag.take() {
            self.value(flag, word);
        } else if !word.starts_with('-') {
            self.command = self.command.find_subcommand(word).unwrap_or(self.command);
        } else if let Some((flag, value)) = word.split_once('=') {
            if let Some(flag) = self.find(flag) {
                self.value(flag, value);
            }
        } else {
            // What has to stand behind a = is not the next word.
            self.flag = self.find(word).filter(|flag| !flag.is_require_equals_set());
        }
    }

    fn value(&mut self, flag: &Arg, value: &'a str) {
        if flag.get_id() == "kubeconfig" {
            self.kubeconfig = Some(value);
        }
    }

    /// The flag of this name that takes a value.
    fn find(&self, name: &str) -> Option<&'a Arg> {
        let is_it = |arg: &&Arg| match name.strip_prefix("--") {
            Some(long) => {
                arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&long))
            }
            None => {
                name.strip_prefix('-').is_some_and(|short| arg.get_short().is_some_and(|own| short == own.to_string()))
            }
        };
        self.flags().find(is_it).filter(|arg| arg.get_action().takes_values())
    }

    fn flags(&self) -> impl Iterator<Item = &'a Arg> {
        let global = self.root.get_arguments().filter(|arg| arg.is_global_set());
        self.command.get_arguments().filter(|arg| !arg.is_positional()).chain(global)
    }

    /// True if a file is to be named: shells know those.
    pub(super) fn is_file(&self) -> bool {
        let names_one = |arg: &Arg| {
            let names = arg.get_value_names().unwrap_or_default();
            names.iter().any(|name| matches!(name.as_str(), "FILE" | "FOLDER" | "AUDIT_LOG"))
        };
        match self.flag {
            Some(flag) => names_one(flag),
            None => !self.begun.starts_with('-') && self.command.get_positionals().any(names_one),
        }
    }

    /// What fits, each with what is said of it; `known` are further values of the flag.
    pub(super) fn choices(&self, known: Vec<String>) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = match self.flag {
            Some(flag) => values(flag).chain(known.into_iter().map(|name| (name, String::new()))).collect(),
            None if self.begun.starts_with('-') => {
                self.flags().filter(|arg| !arg.is_hide_set()).filter_map(long).collect()
            }
            None => {
                let subcommands = self.command.get_subcommands().filter(|sub| !sub.is_hide_set());
                let named = subcommands.map(|sub| (sub.get_name().to_owned(), text(sub.get_about())));
                named.chain(self.command.get_positionals().flat_map(values)).collect()
            }
        };
        found.retain(|(choice, _)| choice.starts_with(self.begun));
        found.sort();
        found.dedup();
        found
    }
}

fn long(arg: &Arg) -> Option<(String, String)> {
    Some((format!("--{}", arg.get_long()?), text(arg.get_help())))
}

fn values(arg: &Arg) -> impl Iterator<Item = (String, String)> + use<> {
    let shown = |value: &PossibleValue| !value.is_hide_set();
    let values = arg.get_possible_values().into_iter().filter(shown);
    // Of `jsonpath=TEMPLATE` only the first half can be typed as it is.
    let typed = |name: &str| name.split_inclusive('=').next().unwrap_or(name).to_owned();
    values.map(move |value| (typed(value.get_name()), text(value.get_help())))
}

fn text(help: Option<&impl ToString>) -> String {
    help.map(ToString::to_string).unwrap_or_default()
}
