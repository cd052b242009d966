//! `cargo xtask layout`: shows which rooms (folders and files) of each crate import which, and refuses what would make them
//! hard to enter: import circles across folders, circles of many files, the imports that [`FORBIDDEN`] lists or [`ROOMS`]
//! leaves out, and types of the same name in one crate.
//!
//! Tests inside a file do not count: they may use anything. Paths in the arguments of macros count; paths in attributes, and
//! in strings such as those of serde, do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use syn::visit::Visit;
use syn::{Item, ItemEnum, ItemStruct, ItemTrait, ItemType, ItemUnion};
use test_stack::paths::workspace;

use self::paths::{LEADING, Paths};

mod paths;

/// The source folders that are looked at.
const CRATES: [&str; 10] = [
    "src",
    "protocol/src",
    "leases/src",
    "key-service/src",
    "simulation/src",
    "test-stack/src",
    "xtask/src",
    "fleet/src",
    "bench/src",
    "cli/src",
];

/// Types that each file of a command has. Others name the file too: `import::Args`.
const OF_COMMANDS: [&str; 2] = ["Args", "Command"];

/// A circle of more files than this is refused inside one folder.
const LARGEST_CIRCLE: usize = 3;

/// What a room of a crate must not import: rooms of the same crate, or other crates.
struct Forbidden {
    source: &'static str,
    /// A module path; empty for the whole crate.
    room: &'static str,
    /// Rooms that are left out of `room`.
    except: &'static [&'static str],
    imports: &'static [&'static str],
    because: &'static str,
}

/// Rooms of the key service that every room may import. They import only each other.
const LEAVES: [&str; 10] = [
    "catalogue",
    "entries",
    "label",
    "network",
    "outbound",
    "paging",
    "random",
    "telemetry",
    "time",
    "validation",
];

/// The rooms of the key service with its rules and its SQL, and which of them each may import: the table of ADR 11.
const ROOMS: [(&str, &[&str]); 8] = [
    ("db", &[]),
    ("audit", &["db"]),
    ("idempotency", &["audit", "db"]),
    ("revocation", &["db"]),
    ("webhooks", &["db"]),
    ("accounts", &["audit", "db", "idempotency", "revocation"]),
    ("keys", &["accounts", "audit", "db", "idempotency", "revocation", "webhooks"]),
    ("transfer", &["accounts", "audit", "db", "keys", "revocation", "webhooks"]),
];

const FORBIDDEN: [Forbidden; 6] = [
    Forbidden {
        source: "key-service/src",
        room: "web::api",
        except: &[],
        imports: &["crate::web::ui"],
        because: "what the API and the page share is in web",
    },
    Forbidden {
        source: "key-service/src",
        room: "web::ui",
        except: &[],
        imports: &["crate::web::api"],
        because: "what the API and the page share is in web",
    },
    Forbidden {
        source: "key-service/src",
        room: "",
        except: &["cli", "server", "settings", "web", "main"],
        imports: &["crate::web"],
        because: "what the service does knows nothing of HTTP",
    },
    Forbidden {
        source: "src",
        room: "",
        except: &["proxy"],
        imports: &["proxy_wasm"],
        because: "the filter's core runs without a proxy, in unit tests and in the simulation",
    },
    Forbidden {
        source: "leases/src",
        room: "",
        except: &[],
        imports: &["axum", "sqlx", "tokio", "utoipa"],
        because: "the lease protocol runs on any store, in the simulation too",
    },
    Forbidden {
        source: "cli/src",
        room: "",
        except: &[],
        imports: &["axum", "key_service", "leases", "sqlx", "tokio"],
        because: "the command checks a configuration without a service",
    },
];

/// The modules of a crate, by their path, such as `web::ui::keys`; the crate itself is the empty one.
#[derive(Default)]
struct Modules {
    source: &'static str,
    imports: BTreeMap<String, BTreeSet<String>>,
    folders: BTreeSet<String>,
    /// The modules that have a type of this name.
    types: BTreeMap<String, Vec<String>>,
}

/// Prints which module imports which, and checks it.
///
/// # Errors
/// A source cannot be read, or something is imported that must not be.
pub fn run() -> Result<()> {
    let mut faults = Vec::new();
    for source in CRATES {
        let modules = Modules::read(source)?;
        println!("{source}");
        for (room, imported) in modules.rooms("") {
            let imported: Vec<_> = imported.into_iter().collect();
            println!("  {room:<18} {}", imported.join(" "));
        }
        faults.extend(modules.faults());
    }
    if !faults.is_empty() {
        bail!("the layout has {} faults:\n  {}", faults.len(), faults.join("\n  "));
    }
    Ok(())
}

impl Modules {
    fn read(source: &'static str) -> Result<Self> {
        let root = workspace().join(source);
        let mut modules = Modules { source, ..Modules::default() };
        let mut files = Vec::new();
        find(&root, &mut files)?;
        let mut parsed = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file)?;
            let syntax =
                syn::parse_file(&text).with_context(|| format!("cannot parse {}", file.display()))?;
            let inside = file.strip_prefix(&root)?.with_extension("");
            let mut path: Vec<_> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if path.last().is_some_and(|last| last == "mod") || path == ["lib"] {
                path.pop();
            }
            let name = path.join("::");
            modules.imports.insert(name.clone(), BTreeSet::new());
            for of_type in syntax.items.iter().filter_map(type_name) {
                modules.types.entry(of_type).or_default().push(name.clone());
            }
            parsed.push((name, path, syntax));
        }
        let names: Vec<_> = modules.imports.keys().cloned().collect();
        let has_children = |name: &&String| names.iter().any(|other| other.starts_with(&format!("{name}::")));
        modules.folders = names.iter().filter(has_children).cloned().collect();
        for (name, path, syntax) in parsed {
            let mut visitor = Paths::default();
            visitor.visit_file(&syntax);
            let imports = visitor.found.iter().filter_map(|found| modules.resolve(&path, found));
            let imports: BTreeSet<_> = imports.filter(|import| *import != format!("crate::{name}")).collect();
            modules.imports.insert(name, imports);
        }
        Ok(modules)
    }

    /// The module or the crate that a path begins with, seen from a module; modules as `crate::…`.
    fn resolve(&self, from: &[String], path: &[String]) -> Option<String> {
        let from = if from == ["main"] { &[] } else { from };
        let is_child = |name: &String| {
            self.imports.contains_key(&[from, std::slice::from_ref(name)].concat().join("::"))
        };
        let mut base = match path.first()? {
            first if first == "crate" => Vec::new(),
            first if first == "self" || first == "super" || is_child(first) => from.to_vec(),
            first if first == LEADING => return path.get(1).cloned(),
            external => return Some(external.clone()),
        };
        let mut rest = path;
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "crate" | "self" => {}
                "super" => drop(base.pop()),
                _ => break,
            }
            rest = others;
        }
        base.extend(rest.iter().cloned());
        while !self.imports.contains_key(&base.join("::")) {
            base.pop()?;
        }
        Some(if base.is_empty() { "crate".to_owned() } else { format!("crate::{}", base.join("::")) })
    }

    /// The rooms right below a module, and which of them each imports. A folder's own file counts as a room of the folder,
    /// by the name `mod`.
    fn rooms(&self, parent: &str) -> BTreeMap<String, BTreeSet<String>> {
        let room_of = |module: &str| {
            let below = match parent {
                "" => module,
                _ if module == parent => return Some("mod".to_owned()),
                _ => module.strip_prefix(parent)?.strip_prefix("::")?,
            };
            below.split("::").next().filter(|room| !room.is_empty()).map(str::to_owned)
        };
        let mut rooms = BTreeMap::<String, BTreeSet<String>>::new();
        for (module, imports) in &self.imports {
            let Some(room) = room_of(module) else { continue };
            let imported = imports.iter().filter_map(|import| room_of(import.strip_prefix("crate::")?));
            rooms.entry(room.clone()).or_default().extend(imported.filter(|imported| *imported != room));
        }
        rooms
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let parents = std::iter::once("").chain(self.folders.iter().map(String::as_str));
        for parent in parents {
            let within =
                if parent.is_empty() { self.source.to_owned() } else { format!("{}, {parent}", self.source) };
            for circle in circles(&self.rooms(parent)) {
                let full = |room: &String| {
                    if parent.is_empty() { room.clone() } else { format!("{parent}::{room}") }
                };
                let has_folder = circle.iter().any(|room| self.folders.contains(&full(room)));
                if has_folder || circle.len() > LARGEST_CIRCLE {
                    faults.push(format!("{within}: these import each other: {}", circle.join(", ")));
                }
            }
        }
        for (name, of_it) in &self.types {
            if of_it.len() > 1 && !OF_COMMANDS.contains(&name.as_str()) {
                faults.push(format!(
                    "{}: a type in each of these is named {name}: {}",
                    self.source,
                    of_it.join(", ")
                ));
            }
        }
        for rule in FORBIDDEN.iter().filter(|rule| rule.source == self.source) {
            let is_in = |module: &str, room: &str| module == room || module.starts_with(&format!("{room}::"));
            for (module, imports) in &self.imports {
                let is_meant = (rule.room.is_empty() || is_in(module, rule.room))
                    && !rule.except.iter().any(|room| is_in(module, room));
                for import in imports.iter().filter(|_| is_meant) {
                    if rule.imports.iter().any(|forbidden| is_in(import, forbidden)) {
                        faults.push(format!(
                            "{}: {module} imports {import}, but {}",
                            self.source, rule.because
                        ));
                    }
                }
            }
        }
        if self.source == "key-service/src" {
            let imported = self.rooms("");
            let all = ROOMS.iter().copied().chain(LEAVES.map(|leaf| (leaf, &[][..])));
            for (room, may) in all {
                for import in imported.get(room).into_iter().flatten() {
                    if !may.contains(&import.as_str()) && !LEAVES.contains(&import.as_str()) {
                        faults.push(format!(
                            "{}: {room} imports {import}, which docs/adr/0011 forbids",
                            self.source
                        ));
                    }
                }
            }
        }
        faults
    }
}

/// The name of the type that an item declares.
fn type_name(item: &Item) -> Option<String> {
    match item {
        Item::Enum(ItemEnum { ident, .. })
        | Item::Struct(ItemStruct { ident, .. })
        | Item::Trait(ItemTrait { ident, .. })
        | Item::Type(ItemType { ident, .. })
        | Item::Union(ItemUnion { ident, .. }) => Some(ident.to_string()),
        _ => None,
    }
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        let is_of_tests = path.file_stem().is_some_and(|name| name == "tests");
        if path.is_dir() && !is_of_tests {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_of_tests {
            files.push(path);
        }
    }
    Ok(())
}

/// The rooms that reach each other, where that are several.
fn circles(rooms: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reachable = |from: &String| {
        let (mut found, mut ahead) = (BTreeSet::new(), vec![from]);
        while let Some(room) = ahead.pop() {
            for next in rooms.get(room).into_iter().flatten() {
                if found.insert(next.clone()) {
                    ahead.push(next);
                }
            }
        }
        found
    };
    let reached: BTreeMap<_, _> = rooms.keys().map(|room| (room, reachable(room))).collect();
    let mut circles = BTreeSet::new();
    for (room, others) in &reached {
        if others.contains(*room) {
            let circle = others.iter().filter(|other| reached[other].contains(*room));
            circles.insert(circle.cloned().collect::<Vec<_>>());
        }
    }
    circles.into_iter().filter(|circle| circle.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        edges.iter().map(|(room, imports)| ((*room).to_owned(), named(imports))).collect()
    }

    #[test]
    fn the_rooms_are_laid_out_as_they_should_be() {
        run().unwrap();
    }

    #[test]
    fn a_circle_is_found_with_all_of_its_rooms() {
        let rooms = graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["a", "d"]), ("d", &[]), ("e", &["a"])]);
        assert_eq!(circles(&rooms), [["a", "b", "c"]]);
        assert!(circles(&graph(&[("a", &["b"]), ("b", &[])])).is_empty());
    }

    #[test]
    fn two_types_of_one_name_are_a_fault() {
        let both = ["web".to_owned(), "keys".to_owned()].to_vec();
        let types = ["Kind", "Args"].map(|name| (name.to_owned(), both.clone())).into();
        let faults = Modules { source: "src", types, ..Modules::default() }.faults();
        assert!(faults.len() == 1 && faults[0].contains("Kind"), "{faults:?}");
    }

    #[test]
    fn a_path_may_begin_with_a_child_of_its_module_or_with_a_crate() {
        let names = ["web", "web::ui", "web::ui::form"];
        let imports = names.map(|name| (name.to_owned(), BTreeSet::new()));
        let modules = Modules { source: "src", imports: imports.into(), ..Modules::default() };
        let resolve = |from: &[&str], path: &str| {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            modules.resolve(&owned(from), &owned(&path.split("::").collect::<Vec<_>>()))
        };
        assert_eq!(resolve(&["web"], "ui::form::read").unwrap(), "crate::web::ui::form");
        assert_eq!(resolve(&["web"], "::ui::form").unwrap(), "ui");
        assert_eq!(resolve(&["web", "ui", "form"], "super::super::ui").unwrap(), "crate::web::ui");
        assert_eq!(resolve(&["web"], "form::read").unwrap(), "form");
        assert_eq!(resolve(&["main"], "web::run").unwrap(), "crate::web");
    }

    #[test]
    fn a_forbidden_import_and_a_circle_across_folders_are_faults() {
        let imports = [
            ("db::open", &["crate::keys"][..]),
            ("keys", &["crate::accounts::user"]),
            ("accounts", &[]),
            ("accounts::user", &["crate::keys"]),
        ];
        let imports = imports.iter().map(|(module, imports)| {
            ((*module).to_owned(), imports.iter().map(|import| (*import).to_owned()).collect())
        });
        let folders = ["accounts".to_owned()].into();
        let imports = imports.collect();
        let modules = Modules { source: "key-service/src", imports, folders, ..Modules::default() };
        let faults = modules.faults();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].contains("accounts, keys"), "{faults:?}");
        assert!(
            faults[1].contains("db imports keys") && faults[2].contains("accounts imports keys"),
            "{faults:?}"
        );
    }
}
