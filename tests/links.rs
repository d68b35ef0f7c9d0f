//! Links of the documentation: every file and heading exists, and the pages in `docs/` are whole as a book.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Folders whose pages are read, besides the root.
const FOLDERS: [&str; 6] = ["benches", "docs", "experiments", "python", "stages", "tests"];

/// The pages of the book.
const BOOK: &str = "docs";
const SUMMARY: &str = "docs/SUMMARY.md";

/// A page: its links, and the anchors of its headings.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    anchors: HashSet<String>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut heading = None::<String>;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    // The second heading of a name gets a number.
                    let numbered = (1..).map(|number| format!("{anchor}-{number}"));
                    let free = std::iter::once(anchor.clone()).chain(numbered).find(|it| !page.anchors.contains(it));
                    page.anchors.extend(free);
                }
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        page
    }
}

/// Returns the anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    kept.replace(' ', "-")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages by their paths below the root.
fn pages() -> HashMap<PathBuf, Page> {
    let mut pages = HashMap::new();
    let mut folders: Vec<_> = FOLDERS.iter().map(|folder| root().join(folder)).filter(|dir| dir.is_dir()).collect();
    let mut paths = entries(root());
    while let Some(folder) = folders.pop() {
        let found = entries(&folder);
        folders.extend(found.iter().filter(|path| path.is_dir() && !path.ends_with("target")).cloned());
        paths.extend(found);
    }
    for path in paths.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(&path).expect("text is UTF-8");
        pages.insert(path.strip_prefix(root()).expect("it was found there").to_owned(), Page::read(&text));
    }
    pages
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("the folder can be read").path()).collect()
}

/// Returns the path below the root that a link on a page leads to; `None` above the root.
fn target(page: &Path, link: &str) -> Option<PathBuf> {
    let mut path = page.parent().expect("a page lies in a folder").to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => path.pop().then_some(())?,
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    Some(path)
}

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let pages = pages();
    assert!(pages.len() > 10, "pages are found");
    let mut broken = Vec::new();
    for (path, page) in &pages {
        for link in page.links.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(file, to)| (file, Some(to)));
            let to = if file.is_empty() { Some(path.clone()) } else { target(path, file) };
            let exists = to.as_ref().is_some_and(|to| root().join(to).exists());
            let leaves_book = path.starts_with(BOOK) && to.as_ref().is_some_and(|to| !to.starts_with(BOOK));
            let heading =
                |anchor| to.as_ref().and_then(|to| pages.get(to)).is_some_and(|to| to.anchors.contains(anchor));
            if !exists || leaves_book || !anchor.is_none_or(heading) {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    broken.sort();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let pages = pages();
    let listed: HashSet<_> =
        pages[Path::new(SUMMARY)].links.iter().filter_map(|link| target(Path::new(SUMMARY), link)).collect();
    let is_page = |path: &&PathBuf| path.starts_with(BOOK) && **path != Path::new(SUMMARY);
    let missing: Vec<_> = pages.keys().filter(is_page).filter(|path| !listed.contains(*path)).collect();
    assert!(missing.is_empty(), "not in {SUMMARY}: {missing:?}");
}
