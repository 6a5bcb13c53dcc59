//! What the documentation says to write into another program's configuration: the tests run it as it stands there.

/// The blocks of code in one section of a page.
pub fn blocks(page: &str, heading: &str) -> Vec<String> {
    let path = format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let heading = format!("\n## {heading}\n");
    let (_, section) = text.split_once(&heading).expect("no such section");
    let section = section.split("\n## ").next().unwrap();
    // Between one fence and the next; the first has the name of a language.
    let inside = section.split("```").skip(1).step_by(2);
    inside
        .map(|block| block.split_once('\n').unwrap().1.to_owned())
        .collect()
}
