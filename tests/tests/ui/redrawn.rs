//! What the page does around its tables: what its header says, where the focus stays, and what is read out to whoever listens.

use anyhow::{Result, ensure};
use guard_tests::browser::{Browser, Display};
use kubectl_guard::rows::Row;
use kubectl_guard::ui::look::{Look as Fleet, Scope};

use crate::desk::Served;
use crate::fleet::{fleet, over, well};

/// The row of the focus, under its table's caption.
const FOCUS: &str = "[document.activeElement.closest('table')?.caption.textContent,
  document.activeElement.closest('tr')?.cells[0].textContent, document.activeElement.id].join('|')";

/// Shows another look, and waits until the page has drawn it.
fn show(served: &Served, browser: &mut Browser, next: Fleet) -> Result<()> {
    let at = next.at.to_string();
    served.show(next);
    browser.until(&format!("document.querySelector('#at').dateTime === '{at}'"))
}

fn open(served: &Served) -> Result<Browser> {
    let mut browser = Browser::open(&served.url, Display::DESK)?;
    browser.until("document.querySelector('#at').dateTime !== '' && document.querySelector('tbody tr') !== null")?;
    Ok(browser)
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn the_header_and_the_tab_name_the_context_and_how_much_of_it_is_shown() -> Result<()> {
    let namespace = |name: Option<&str>| {
        let scope = Scope { context: "prod".into(), namespace: name.map(Into::into) };
        Fleet { scope: Some(scope), ..fleet(vec![well("cart-1", "cart")]) }
    };
    let served = Served::start(namespace(Some("shop")), None)?;
    let mut browser = open(&served)?;
    assert_eq!(browser.text("#place")?, "Context prod, namespace shop");
    assert_eq!(browser.value("document.title")?, "Context prod, namespace shop – kubectl guard");
    show(&served, &mut browser, namespace(None))?;
    assert_eq!(browser.text("#place")?, "Context prod, all namespaces");
    assert_eq!(browser.text("#summary")?, "0 of 1 pods over their line");
    // Views that tell nothing of the whole leave it there.
    browser.value("location.hash = '#/history'")?;
    browser.until("document.querySelector('h2')?.textContent === 'History'")?;
    assert_eq!(browser.text("#place")?, "Context prod, all namespaces");
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn the_focus_stays_on_its_row_of_its_table() -> Result<()> {
    let pods = || vec![over("cart-1", "cart"), over("cart-2", "cart"), well("cart-3", "cart")];
    let served = Served::start(fleet(pods()), None)?;
    let mut browser = open(&served)?;
    // The pod that leads the incident is linked there too, and each pod of the workload links to that.
    for (link, row) in [
        ("#/pod/shop/cart-1", "cart-1"),
        ("#/workload/shop/Deployment%2Fcart", "cart-2"),
        ("#/workload/shop/Deployment%2Fcart", "cart-3"),
    ] {
        let of_row =
            format!("[...document.querySelectorAll('tr')].find((row) => row.cells[0].textContent === '{row}')");
        browser.value(&format!("{of_row}.querySelector('a[href=\"{link}\"]').focus()"))?;
        let before = browser.value(FOCUS)?;
        ensure!(before == format!("Pods, the worst first (3 of 3)|{row}|"), "{before}");
        show(&served, &mut browser, fleet(pods()))?;
        assert_eq!(browser.value(FOCUS)?, before);
        assert_eq!(browser.value("document.activeElement.getAttribute('href')")?, link);
    }
    show(&served, &mut browser, fleet(vec![over("cart-1", "cart")]))?;
    assert_eq!(browser.value(FOCUS)?, "||view", "the row is gone, and the focus is not at the top of the page");
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn the_focus_stays_on_the_button_for_more_rows() -> Result<()> {
    let pods = || (0..500).map(|i| well(&format!("cart-{i}"), "cart")).collect();
    let served = Served::start(fleet(pods()), None)?;
    let mut browser = open(&served)?;
    browser.value("document.querySelector('main button').focus()")?;
    browser.press("Enter")?;
    browser.until("document.querySelectorAll('tbody tr').length >= 400")?;
    show(&served, &mut browser, fleet(pods()))?;
    assert_eq!(browser.value(FOCUS)?, "||more");
    assert_eq!(browser.text("#more")?, "Show 100 more of 500");
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn what_is_old_is_said_until_an_answer_comes_again() -> Result<()> {
    let served = Served::start(fleet(vec![well("cart-1", "cart")]), None)?;
    let mut browser = open(&served)?;
    for hash in ["#/history", "#/"] {
        browser.value(&format!("location.hash = '{hash}'"))?;
        browser
            .value("window.asked = window.fetch; window.fetch = () => Promise.reject(new Error('nobody is there'))")?;
        browser.until("document.querySelector('#warnings').textContent === 'What is shown is old: nobody is there'")?;
        // What comes is what is known already: a 304 is an answer too.
        browser.value("window.fetch = window.asked; null")?;
        browser.until("document.querySelector('#warnings').hidden")?;
        assert_eq!(browser.text("#warnings")?, "");
    }
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn only_what_is_new_is_read_out() -> Result<()> {
    let warned = || Fleet { warnings: vec!["node-2 is silent".into()], ..fleet(vec![over("cart-1", "cart")]) };
    let served = Served::start(warned(), None)?;
    let mut browser = open(&served)?;
    browser.value(
        "window.told = 0; const watch = new MutationObserver((all) => { window.told += all.length; });
        for (const live of document.querySelectorAll('[role=status], [role=alert]')) {
          watch.observe(live, { attributes: true, characterData: true, childList: true, subtree: true });
        }",
    )?;
    show(&served, &mut browser, warned())?;
    assert_eq!(browser.text("#warnings")?, "node-2 is silent");
    assert_eq!(browser.value("window.told")?, 0, "the same again");
    show(&served, &mut browser, fleet(vec![well("cart-1", "cart")]))?;
    ensure!(browser.value("window.told > 0")? == true, "something else");
    // What is carried out, line by line, of which the server keeps the latest.
    let said = browser.value(
        "(async () => {
          const { banner } = await import('/desk.js');
          const place = document.createElement('section');
          const list = () => [...place.querySelectorAll('li')];
          const job = (dropped, ...lines) => ({ digest: 'd', began: 'b', namespace: '', action: 'drain', dropped, lines, ended: null });
          banner(place, job(0, 'one', 'two'));
          list().forEach((line) => { line.title = 'told'; });
          const told = [];
          for (const next of [job(0, 'one', 'two', 'three'), job(1, 'two', 'three', 'four'), job(9, 'ten', 'eleven')]) {
            banner(place, next);
            told.push(list().map((line) => `${line.textContent} ${line.title}`.trim()).join(', '));
          }
          return [...told, place.querySelector('ol').start].join('; ');
        })()",
    )?;
    assert_eq!(said, "one told, two told, three; two told, three, four; ten, eleven; 10");
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn a_pod_that_no_restart_helps_leads_to_its_plan_all_the_same() -> Result<()> {
    let served = Served::start(fleet(vec![Row { fix: Some("see its logs"), ..over("cart-1", "cart") }]), None)?;
    let mut browser = open(&served)?;
    browser.value("location.hash = '#/pod/shop/cart-1'")?;
    browser.until("document.querySelector('main a[href=\"#/plan/shop/deployment/cart\"]') !== null")
}
