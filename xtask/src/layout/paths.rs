//! The paths in a source file.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Macro, UseTree, VisRestricted};

/// The first segment of a path that begins with `::`, and so with a crate.
pub(super) const LEADING: &str = "";

/// The paths of a file that may lead out of it, by their segments.
#[derive(Default)]
pub(super) struct Paths {
    pub(super) found: Vec<Vec<String>>,
}

impl Paths {
    /// What a macro does with its tokens is unknown, so each path in them counts.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    match colons {
                        2 if path.is_empty() => path.push(LEADING.to_owned()),
                        2 => {}
                        _ => self.path(std::mem::take(&mut path)),
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.path(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.path(path);
    }

    /// A path of one segment is a name of the file itself.
    fn path(&mut self, segments: Vec<String>) {
        if segments.len() > 1 {
            self.found.push(segments);
        }
    }

    fn use_tree(&mut self, before: &[String], tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                let longer = [before, &[path.ident.to_string()]].concat();
                self.use_tree(&longer, &path.tree);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(before, tree)),
            UseTree::Name(name) => self.found.push([before, &[name.ident.to_string()]].concat()),
            UseTree::Rename(name) => self.found.push([before, &[name.ident.to_string()]].concat()),
            UseTree::Glob(_) => self.found.push(before.to_vec()),
        }
    }
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    };
    attributes.iter().any(is_test)
}

impl<'a> Visit<'a> for Paths {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_of_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let before = item.leading_colon.as_ref().map(|_| LEADING.to_owned());
        self.use_tree(before.as_slice(), &item.tree);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let leading = path.leading_colon.as_ref().map(|_| LEADING.to_owned());
        let segments = path.segments.iter().map(|segment| segment.ident.to_string());
        self.path(leading.into_iter().chain(segments).collect());
        visit::visit_path(self, path);
    }

    /// `pub(in path)` imports nothing.
    fn visit_vis_restricted(&mut self, _: &'a VisRestricted) {}

    fn visit_macro(&mut self, used: &'a Macro) {
        self.tokens(used.tokens.clone());
        visit::visit_macro(self, used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found_in_uses_and_in_paths_but_not_in_tests() {
        let text = "use super::{one, two::Two}; use ::five; fn f() { crate::three::g(); name(); six::g(); }
            pub(in crate::seven) fn h() { println!(\"no::path {}\", [crate::eight::A, ::nine::B]); }
            #[cfg(test)] mod tests { use crate::four; }";
        let mut paths = Paths::default();
        paths.visit_file(&syn::parse_file(text).unwrap());
        let found: Vec<_> = paths.found.iter().map(|path| path.join("::")).collect();
        assert_eq!(
            found,
            [
                "super::one",
                "super::two::Two",
                "::five",
                "crate::three::g",
                "six::g",
                "crate::eight::A",
                "::nine::B"
            ]
        );
    }
}
