use crate::driver::*;

#[test]
#[ignore]
fn trial() {
    let b = Browser::start(PHONE);
    b.open("data:text/html,<title>x</title><meta name=viewport content='width=device-width'><body style='color:%23ccc;background:%23fff'>low<div style='width:100%25'>wide</div><label>Label <input id=a></label><a href='data:text/html,<h1>two</h1>'>Go on</a><button aria-label='Delete CI'>x</button><img src='http://127.0.0.1:1/x.png'>");
    b.fill("Label", "hello");
    assert_eq!(b.value("a"), "hello");
    println!("{:?}", b.script("return [innerWidth, document.scrollingElement.scrollWidth, matchMedia('(prefers-color-scheme: dark)').matches]"));
    b.click("Delete");
    println!("{:#?}", b.violations());
    b.screenshot("trial");
    println!("{:?} {:?}", b.requests(), b.complaints());
    println!("{:?} {}", b.text(), b.has_control("Go on"));
    b.control("Nothing");
}
