use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn base() -> Url {
    Url::parse("https://example.com/docs/page").unwrap()
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn page(html: &str) -> Page {
    read(html, &base(), 10_000, later())
}

#[track_caller]
fn check(html: &str, expected: &str) {
    assert_eq!(page(html).text, expected);
}

#[test]
fn a_page_becomes_headings_paragraphs_lists_and_links() {
    let html = r##"<!doctype html>
        <html><head><title>Prices &amp; plans</title>
        <meta name="Description" content="What it   costs.">
        <style>p { color: red }</style><script>if (a < b) { "</p>" }</script></head>
        <body><nav><ul><li><a href="/">Home</a></ul></nav>
        <main><h1>Prices</h1><p>Two plans,
           <b>small</b> and <a href="big?x=1">the   <i>big</i> one</a>.</p>
        <ul><li>Small: 5&nbsp;&euro;<li>Big: 50&nbsp;&euro;</ul>
        <table><tr><th>Plan</th><th>Seats</th></tr><tr><td>Small</td><td>1</td></tr></table>
        <pre>a  b
c</pre><p>First<br>second<br><br>third <a href="#top">up</a> <a href="mailto:x@y.z">write</a>
        <img src=x alt="A chart"></main>
        <footer>Imprint</footer></body></html>"##;
    let page = page(html);
    assert_eq!((page.title.as_str(), page.description.as_str()), ("Prices & plans", "What it costs."));
    assert_eq!(
        page.text,
        "# Prices\n\nTwo plans, small and [the big one](https://example.com/docs/big?x=1).\n\n- Small: 5 €\n- Big: 50 \
         €\n\nPlan | Seats\nSmall | 1\n\na  b\nc\n\nFirst\nsecond\n\nthird up write [image: A chart]\n\nImprint"
    );
    assert!(!page.is_cut);
}

#[test]
fn what_is_not_for_readers_is_left_out() {
    check("a<script>b</script>c<style>d</style>e", "ace");
    check("<nav>x<nav>y</nav>z</nav>text", "text");
    check("<svg><title>icon</title><text>no</text></svg>text<svg/>more", "textmore");
    check("<template><p>no</p></template>text<select><option>a</select><button>press</button>", "text");
    check("<noscript>Without scripts</noscript>", "Without scripts");
    check("pay\u{200b}ment\u{202e} \u{e0041}now\u{0}", "payment now");
    check("<!-- a comment <p> -->text", "text");
    assert_eq!(page("<svg><title>icon</title></svg><title>page</title>").title, "page");
}

#[test]
fn a_navigation_that_is_never_closed_does_not_swallow_the_page() {
    check("<nav><a href=/>Home</a><main><p>text</p></main>", "text");
    check("<nav><a href=/>Home</a><h1>Title</h1>text", "# Title\n\ntext");
}

#[test]
fn links_are_resolved_and_empty_or_endless_ones_are_not_shown() {
    check("<base href=\"https://other.example/a/\"><a href=b>c</a>", "[c](https://other.example/a/b)");
    check("<a href=\"https://a.example/\"><img src=x></a>text", "text");
    check("<a href=\"javascript:alert(1)\">click</a>", "click");
    check(&format!("<a href=\"/{}\">far</a>", "x".repeat(500)), "far");
    check("<a href=/a>one<a href=/b>two", "[one](https://example.com/a)[two](https://example.com/b)");
}

#[test]
fn the_text_is_cut_where_it_was_wanted() {
    let cut = read("<p>One two three</p><p>four</p>", &base(), 9, later());
    assert_eq!((cut.text.as_str(), cut.is_cut), ("One two t", true));
    let whole = read("<p>One two t</p> ", &base(), 9, later());
    assert_eq!((whole.text.as_str(), whole.is_cut), ("One two t", false));
    let long = "<p>word ".repeat(100_000);
    assert_eq!(read(&long, &base(), 1_000, later()).text.chars().count(), 1_000);
    let title = format!("<title>{}</title>", "t".repeat(100_000));
    assert_eq!(page(&title).title.len(), 300);
}

#[test]
fn a_page_that_costs_too_much_time_is_given_up() {
    let attributes: String = (0..300_000).map(|number| format!(" a{number}")).collect();
    let hostile = format!("<p>Before</p><b{attributes}>after");
    let page = read(&hostile, &base(), 10_000, Instant::now() + Duration::from_millis(50));
    assert!(page.is_cut && !page.text.contains("after"), "{}", page.text.len());
    assert_eq!(read("<p>text", &base(), 10, Instant::now() - Duration::from_secs(1)).text, "");
}

#[test]
fn depth_costs_nothing() {
    let deep = "<div>".repeat(300_000);
    assert_eq!(page(&format!("{deep}<p>deep")).text, "deep");
}

#[test]
fn a_snippet_is_one_line() {
    assert_eq!(plain("<strong>It&#x27;s</strong>\n<p>here", &base(), 100, later()), "It's here");
}

proptest! {
    #[test]
    fn no_page_breaks_the_reader(html in "([<>/a-z =\"'&;#!\\-\u{e9}\u{0}\n]|<nav>|</a>|<a href=x>|<pre>|<script>|<title>){0,60}") {
        let page = read(&html, &base(), 50, later());
        prop_assert!(page.text.chars().count() <= 50);
    }
}
