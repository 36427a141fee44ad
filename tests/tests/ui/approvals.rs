//! Approving in a real browser, by hand: what is read, typed and pressed, and what is said about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use guard_tests::browser::{Browser, Display};
use guard_tests::wait;
use kubectl_guard::desk::{Asked, Proposer, Waiting};
use kubectl_guard::plan::ActionKind;

use crate::desk::{Served, proposal};
use crate::fleet::{fleet, over, well};

const PROPOSAL: &str = "document.querySelector('main a[href=\"#/plan/shop/deployment/catalog\"]')";
const CAN_APPROVE: &str = "document.querySelector('form.confirm button[type=submit]').disabled === false";

/// A page with the plan open, reached by the keyboard alone.
fn at_the_plan(served: &Served, display: Display) -> Result<Browser> {
    let mut browser = Browser::open(&served.url, display)?;
    browser.until(&format!("{PROPOSAL} !== null"))?;
    browser.value(&format!("{PROPOSAL}.focus()"))?;
    browser.press("Enter")?;
    browser.until("document.querySelector('#typed') !== null && document.activeElement.id === 'view'")?;
    Ok(browser)
}

/// Goes on with Tab until the focus is there.
fn tab_to(browser: &mut Browser, what: &str) -> Result<()> {
    for _ in 0..40 {
        if browser.value(&format!("document.activeElement?.matches('{what}')"))? == true {
            return Ok(());
        }
        browser.press("Tab")?;
    }
    anyhow::bail!("Tab does not come to {what}")
}

/// Keeps a picture if somebody asks for pictures.
fn picture(browser: &mut Browser, name: &str) -> Result<()> {
    let Some(folder) = std::env::var_os("GUARD_PICTURES").map(PathBuf::from) else { return Ok(()) };
    browser.picture(&Path::new(&folder).join(format!("{name}.png")))
}

fn quiet(browser: &Browser) -> Result<()> {
    ensure!(browser.complaints().is_empty(), "{:?}", browser.complaints());
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn what_an_agent_proposes_is_named_as_its_own_and_opens_so() -> Result<()> {
    let served = Served::start(fleet(Vec::new()), None)?;
    let asked = Some(Asked { action: ActionKind::Scale, replicas: Some(4) });
    let theirs = Waiting {
        action: "scale deployment/catalog".into(),
        reason: Some("checkout waits for it, says the queue".into()),
        by: Proposer::Agent("night-watch".into()),
        asked: asked.clone(),
        ..proposal()
    };
    served.queue.set(vec![proposal(), theirs]);
    let mut browser = Browser::open(&served.url, Display::DESK)?;
    browser.until(&format!("{PROPOSAL} !== null"))?;
    ensure!(browser.text("main")?.contains("agent night-watch"), "{}", browser.text("main")?);
    picture(&mut browser, "proposals")?;
    browser.value("document.querySelector('main a[href$=\"/by/night-watch\"]').click()")?;
    browser.until("document.querySelector('#typed') !== null")?;
    ensure!(served.desk.told.lock().expect("the desk").asked == asked, "guard's own plan is shown");
    quiet(&browser)
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn the_tab_that_came_in_may_be_loaded_again_and_one_with_the_cookie_alone_is_told_how() -> Result<()> {
    let served = Served::start(fleet(Vec::new()), None)?;
    let mut browser = Browser::open(&served.url, Display::DESK)?;
    browser.until(&format!("{PROPOSAL} !== null"))?;
    ensure!(browser.value("location.search")? == "", "the token stays in the address");
    browser.value("document.body.replaceChildren(); location.reload()")?;
    browser.until(&format!("{PROPOSAL} !== null"))?;
    // As a tab that somebody opens by hand: it has the cookie of this browser, and no key.
    browser.value("sessionStorage.clear(); document.body.replaceChildren(); location.reload()")?;
    browser.until("document.querySelector('main p') !== null")?;
    let page = browser.text("body")?;
    ensure!(page.contains("did not come in by the URL that was printed") && !page.contains("catalog"), "{page}");
    quiet(&browser)
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn a_plan_is_read_typed_and_carried_out_by_the_keyboard() -> Result<()> {
    let pods = vec![over("catalog-56d6c4f556-lpkcb", "catalog"), well("catalog-56d6c4f556-44z66", "catalog")];
    let served = Served::start(fleet(pods), None)?;
    let mut browser = at_the_plan(&served, Display::DESK)?;
    let page = browser.text("main")?;
    for part in [
        "restart deployment/catalog",
        "https://10.0.0.1:6443",
        "alice",
        "+        kubectl.kubernetes.io/restartedAt",
        "last ready replica",
        "(you may)",
        "Type catalog to approve",
        "cannot be taken back",
    ] {
        ensure!(page.contains(part), "{part}: {page}");
    }
    tab_to(&mut browser, "#typed")?;
    // Enter on half a name does nothing, and the button is closed.
    browser.write("catalo")?;
    ensure!(browser.value(CAN_APPROVE)? == false, "half a name");
    browser.press("Enter")?;
    browser.write("g")?;
    browser.until(CAN_APPROVE)?;
    picture(&mut browser, "plan")?;
    browser.press("Enter")?;
    browser.until("document.activeElement.id === 'job'")?;
    ensure!(browser.text("#outcome")?.starts_with("It is being carried out"), "{}", browser.text("#job")?);
    browser.until("document.querySelectorAll('#lines li').length === 2")?;

    // A browser that is closed stops nothing.
    quiet(&browser)?;
    drop(browser);
    served.desk.end.notify_one();
    wait::until("the end of the plan", Duration::from_secs(30), || {
        Ok((served.desk.told.lock().expect("the desk").done == ["catalog"]).then_some(()))
    })
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn the_outcome_is_said_and_stays_on_every_view() -> Result<()> {
    let served = Served::start(fleet(Vec::new()), None)?;
    let mut browser = at_the_plan(&served, Display::DESK)?;
    tab_to(&mut browser, "#typed")?;
    browser.write("catalog")?;
    browser.press("Enter")?;
    browser.until("document.activeElement.id === 'job'")?;
    picture(&mut browser, "under-way")?;
    // Somebody who looks elsewhere, or loads the page anew, stops nothing.
    browser.value("location.hash = '#/history'")?;
    browser.call("Page.reload", &serde_json::json!({}))?;
    browser.until("document.querySelectorAll('#lines li').length === 2")?;
    served.desk.end.notify_one();
    browser.until("document.querySelector('#outcome').textContent.startsWith('Done')")?;
    ensure!(browser.text("#lines")?.contains("recovered"), "{}", browser.text("#job")?);
    let live =
        browser.value("[document.querySelector('#outcome').role, document.querySelector('#lines').role].join()")?;
    assert_eq!(live, "status,log");
    assert_eq!(served.desk.told.lock().expect("the desk").done, ["catalog"]);
    picture(&mut browser, "outcome")?;
    quiet(&browser)
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn what_is_declined_goes_and_what_is_stale_says_so() -> Result<()> {
    let served = Served::start(fleet(Vec::new()), None)?;
    served.desk.told.lock().expect("the desk").stale = true;
    let mut browser = at_the_plan(&served, Display::PHONE)?;
    picture(&mut browser, "plan-phone")?;
    tab_to(&mut browser, "#typed")?;
    browser.write("catalog")?;
    browser.press("Enter")?;
    browser.until("document.querySelector('#outcome')?.textContent.includes('nothing was changed')")?;
    ensure!(
        browser.value("document.documentElement.scrollWidth <= window.innerWidth")? == true,
        "wider than the phone"
    );
    let decline =
        "[...document.querySelectorAll('form.confirm button')].find((each) => each.textContent === 'Decline')";
    browser.value(&format!("{decline}.focus()"))?;
    browser.press("Space")?;
    browser.until("document.querySelector('#told').textContent.startsWith('Declined')")?;
    browser.until(&format!("{PROPOSAL} === null"))?;
    assert_eq!(served.queue.take_declined(), [("shop".to_owned(), "deployment/catalog".to_owned())]);
    assert!(served.desk.told.lock().expect("the desk").done.is_empty());
    quiet(&browser)
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn whoever_may_not_approve_sees_why_and_finds_no_button() -> Result<()> {
    let denied = Served::start(fleet(Vec::new()), None)?;
    denied.desk.told.lock().expect("the desk").denied = true;
    let looking = Served::start(fleet(Vec::new()), Some("this dashboard was started with --read-only"))?;
    for (served, why) in [
        (&denied, "It cannot be approved: you may not patch deployments.apps in namespace shop."),
        (&looking, "It cannot be approved: this dashboard was started with --read-only."),
    ] {
        let mut browser = Browser::open(&served.url, Display { dark: true, ..Display::DESK })?;
        browser.until(&format!("{PROPOSAL} !== null"))?;
        browser.value(&format!("{PROPOSAL}.click()"))?;
        browser.until("document.querySelector('.confirm') !== null")?;
        ensure!(browser.text(".confirm")?.contains(why), "{}", browser.text(".confirm")?);
        ensure!(browser.value("document.querySelector('#typed, [type=submit]') === null")? == true, "a way to approve");
        picture(&mut browser, "denied-dark")?;
        quiet(&browser)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn a_plan_in_the_dark_is_readable() -> Result<()> {
    let served = Served::start(fleet(Vec::new()), None)?;
    let mut browser = at_the_plan(&served, Display { dark: true, ..Display::DESK })?;
    picture(&mut browser, "plan-dark")?;
    quiet(&browser)
}
