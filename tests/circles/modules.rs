//! The crate's modules, and which file uses which others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::tokens::{Token, end_of_group, tokens};

/// A module of the crate, without those for tests.
pub(crate) struct Module {
    /// Relative to the repository.
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<usize>,
    pub(crate) children: BTreeMap<String, usize>,
    /// Items that are defined here, and the lines of those that are types.
    pub(crate) items: BTreeMap<String, Option<usize>>,
    pub(crate) imports: Vec<Import>,
    /// Paths of two names at least, outside of `use`.
    paths: Vec<(Vec<String>, usize)>,
    /// All words outside of `use`.
    words: BTreeSet<String>,
}

/// One name of a `use`.
pub(crate) struct Import {
    path: Vec<String>,
    /// Name here; `*` for all.
    name: String,
    line: usize,
    is_public: bool,
}

/// A use of one file's item in another file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) line: usize,
    /// As it is written.
    pub(crate) path: String,
}

/// End of a path.
#[derive(Clone, Copy, Debug)]
enum Target {
    Module(usize),
    /// Item of a module.
    Item(usize),
}

/// All modules of a crate; the first is its root.
pub(crate) struct Modules {
    pub(crate) all: Vec<Module>,
}

impl Modules {
    /// Reads the modules below `src/lib.rs` in `repository`.
    pub(crate) fn read(repository: &Path) -> Self {
        let mut modules = Self { all: Vec::new() };
        modules.add_file(repository, PathBuf::from("src/lib.rs"), Path::new("src"), None);
        modules
    }

    fn add_file(&mut self, repository: &Path, file: PathBuf, folder: &Path, parent: Option<usize>) -> usize {
        let source = fs::read_to_string(repository.join(&file)).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        self.add(repository, file, folder, parent, &tokens(&source))
    }

    fn add(
        &mut self,
        repository: &Path,
        file: PathBuf,
        folder: &Path,
        parent: Option<usize>,
        tokens: &[Token],
    ) -> usize {
        let id = self.all.len();
        self.all.push(Module {
            file: file.clone(),
            parent,
            children: BTreeMap::new(),
            items: BTreeMap::new(),
            imports: Vec::new(),
            paths: Vec::new(),
            words: BTreeSet::new(),
        });
        let (mut at, mut is_public) = (0, false);
        while let Some(token) = tokens.get(at) {
            let name = tokens.get(at + 1).map(|next| next.text.clone()).unwrap_or_default();
            match token.text.as_str() {
                "#" => {
                    at += 1 + usize::from(name == "!");
                    at = end_of_group(tokens, at);
                    continue;
                }
                "pub" => {
                    is_public = true;
                    at = if name == "(" { end_of_group(tokens, at + 1) } else { at + 1 };
                    continue;
                }
                "use" => {
                    at = self.import(id, tokens, at, is_public);
                    is_public = false;
                    continue;
                }
                "mod" => {
                    let below = folder.join(&name);
                    let child = if tokens.get(at + 2).is_some_and(|next| next.is("{")) {
                        let end = end_of_group(tokens, at + 2);
                        let child = self.add(repository, file.clone(), &below, Some(id), &tokens[at + 3..end - 1]);
                        at = end;
                        child
                    } else {
                        at += 3;
                        let flat = below.with_extension("rs");
                        let child = if repository.join(&flat).exists() { flat } else { below.join("mod.rs") };
                        self.add_file(repository, child, &below, Some(id))
                    };
                    self.all[id].children.insert(name, child);
                    is_public = false;
                    continue;
                }
                "struct" | "enum" | "trait" | "union" | "type" => {
                    self.all[id].items.insert(name, Some(token.line));
                }
                "fn" | "const" | "static" if name != "fn" => {
                    self.all[id].items.insert(name, None);
                }
                _ => {}
            }
            is_public = false;
            // What lies in brackets are no items of the module.
            let end = if ["{", "(", "["].contains(&token.text.as_str()) { end_of_group(tokens, at) } else { at + 1 };
            self.scan(id, &tokens[at..end]);
            at = end;
        }
        self.join_paths(id, tokens);
        id
    }

    /// Notes the words of a module's code, and the imports that are made within functions.
    fn scan(&mut self, id: usize, tokens: &[Token]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if token.is("use") && tokens.get(at + 1).is_some_and(Token::is_word) {
                at = self.import(id, tokens, at, false);
                continue;
            }
            if token.is_word() {
                self.all[id].words.insert(token.text.clone());
            }
            at += 1;
        }
    }

    /// Notes the paths of a module's code.
    fn join_paths(&mut self, id: usize, tokens: &[Token]) {
        let inline = |at: usize| tokens[at].is("mod") && tokens.get(at + 2).is_some_and(|next| next.is("{"));
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if token.is("use") {
                at += tokens[at..].iter().position(|token| token.is(";")).unwrap_or(0) + 1;
            } else if inline(at) {
                at = end_of_group(tokens, at + 2);
            } else if token.is_word() {
                let mut path = vec![token.text.clone()];
                at += 1;
                while tokens.get(at).is_some_and(|next| next.is("::")) && tokens.get(at + 1).is_some_and(Token::is_word)
                {
                    path.push(tokens[at + 1].text.clone());
                    at += 2;
                }
                if path.len() > 1 {
                    self.all[id].paths.push((path, token.line));
                }
            } else {
                at += 1;
            }
        }
    }

    /// Notes the names of the `use` at `at`. Returns the index behind it.
    fn import(&mut self, id: usize, tokens: &[Token], at: usize, is_public: bool) -> usize {
        let end = at + tokens[at..].iter().position(|token| token.is(";")).unwrap_or(0);
        let mut leaves = Vec::new();
        tree(&tokens[at + 1..end], &[], &mut leaves);
        let imports = leaves.into_iter().map(|(path, name, line)| Import { path, name, line, is_public });
        self.all[id].imports.extend(imports);
        end + 1
    }

    /// Uses of other files' items. A module that is only imported isn't one, nor is a name that is only passed on.
    pub(crate) fn edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for (id, module) in self.all.iter().enumerate() {
            let imports =
                module.imports.iter().filter(|import| !import.is_public || module.words.contains(&import.name));
            let imports = imports.map(|import| (&import.path, import.line));
            for (path, line) in imports.chain(module.paths.iter().map(|(path, line)| (path, *line))) {
                if let Some(Target::Item(target)) = self.resolve(id, path, 0) {
                    let (from, to) = (module.file.clone(), self.all[target].file.clone());
                    if from != to {
                        edges.insert(Edge { from, to, line, path: path.join("::") });
                    }
                }
            }
        }
        edges
    }

    /// The module or item that `path` names in the module `id`; none outside of the crate.
    fn resolve(&self, id: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(id),
            "super" => Target::Module(self.all[id].parent?),
            name => self.named(id, name, depth)?,
        };
        rest.iter().try_fold(start, |target, name| match target {
            Target::Module(module) if name == "super" => self.all[module].parent.map(Target::Module),
            Target::Module(module) if name == "self" => Some(Target::Module(module)),
            Target::Module(module) => Some(self.named(module, name, depth).unwrap_or(Target::Item(module))),
            item @ Target::Item(_) => Some(item),
        })
    }

    /// The module or item of that name in the module `id`.
    fn named(&self, id: usize, name: &str, depth: usize) -> Option<Target> {
        let module = &self.all[id];
        if let Some(child) = module.children.get(name) {
            return Some(Target::Module(*child));
        }
        if module.items.contains_key(name) {
            return Some(Target::Item(id));
        }
        if depth > 8 {
            return None;
        }
        let own = module.imports.iter().filter(|import| import.name == name);
        if let Some(target) = own.filter_map(|import| self.resolve(id, &import.path, depth + 1)).next() {
            return Some(target);
        }
        let all = module.imports.iter().filter(|import| import.name == "*");
        all.filter_map(|import| match self.resolve(id, &import.path, depth + 1)? {
            Target::Module(other) if other != id => self.named(other, name, depth + 1),
            _ => None,
        })
        .next()
    }
}

/// Leaves of a use tree: path, name here, line.
fn tree(tokens: &[Token], prefix: &[String], leaves: &mut Vec<(Vec<String>, String, usize)>) {
    let mut at = 0;
    while at < tokens.len() {
        let mut path = prefix.to_vec();
        let line = tokens[at].line;
        let mut name = None;
        while let Some(token) = tokens.get(at) {
            match token.text.as_str() {
                "," => break,
                "::" => {}
                "*" => name = Some("*".to_owned()),
                "as" => {
                    name = tokens.get(at + 1).map(|token| token.text.clone());
                    at += 1;
                }
                "{" => {
                    let end = end_of_group(tokens, at);
                    tree(&tokens[at + 1..end - 1], &path, leaves);
                    (at, path) = (end - 1, Vec::new());
                }
                "self" if !path.is_empty() => {}
                word => path.push(word.to_owned()),
            }
            at += 1;
        }
        at += 1;
        if let Some(last) = path.last() {
            let name = name.unwrap_or_else(|| last.clone());
            leaves.push((path, name, line));
        }
    }
}
