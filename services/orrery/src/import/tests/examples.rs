//! The mappings of `deploy/examples` on the files that they are for.

use orrery_kit::decimal::Decimal;
use orrery_proto::orders::v1::{Address, AddressKind, LineItem};

use super::*;
use crate::resource::ORDERS;

#[test]
fn the_sample_of_a_shop_gives_its_products() {
    let outcome: Outcome<Product> = read_file(
        &PRODUCTS,
        &repository("tests/data/online-retail-sample.csv"),
        &repository("deploy/examples/online-retail.toml"),
    );
    assert_eq!((outcome.records, outcome.rows.len(), outcome.named()), (201, 52, 50));
    assert_eq!(outcome.refused, []);
    for (uid, code, name) in [
        ("prd_99001", "99001", ""),
        ("prd_99002", "99002", ""),
        ("prd_99003b", "99003B", "PADDED NAME"),
        ("prd_99004a", "99004a", "NAMED ON THE SECOND LINE"),
        ("prd_bank-charges", "BANK CHARGES", "Bank Charges"),
        ("prd_gift-0009-40", "gift_0009_40", "Gift voucher £40.00"),
        ("prd_99006", "99006", "TWO LINES\nOF NAME"),
        ("prd_99007", "99007", "CRÈME BRÛLÉE DISHES, SET OF 4"),
    ] {
        let product = outcome.product(uid);
        assert_eq!(product.name, name, "{uid}");
        assert_eq!(sorted(&product.annotations), [("source/stock-code", code)].into(), "{uid}");
        assert!(product.status.is_none() && product.create_ts.is_none() && product.labels.is_empty());
    }
}

#[test]
fn the_real_shop_gives_exactly_its_products() {
    let Some(path) = shared_file("online-retail-2010-12_2011-06.csv.gz") else { return };
    let outcome: Outcome<Product> = read_file(&PRODUCTS, &path, &repository("deploy/examples/online-retail.toml"));
    assert_eq!((outcome.records, outcome.rows.len(), outcome.named()), (245_903, 3_561, 3_456));
    assert_eq!(outcome.refused, []);
    let first = outcome.product("prd_85123a");
    assert_eq!(first.name, "WHITE HANGING HEART T-LIGHT HOLDER");
    assert_eq!(sorted(&first.annotations), [("source/stock-code", "85123A")].into());
    assert_eq!(outcome.rows[0].1, *first);
    for (_, product) in &outcome.rows {
        let code = product.annotations["source/stock-code"].to_lowercase().replace(['_', ' '], "-");
        assert_eq!(product.uid, format!("prd_{code}"), "no code of this shop needs a digest");
    }
    assert!(outcome.rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "rows come in the order of the file");
}

#[test]
fn a_shopify_export_gives_its_products() {
    let outcome: Outcome<Product> = read_file(
        &PRODUCTS,
        &repository("tests/data/shopify-products-sample.csv"),
        &repository("deploy/examples/shopify-products.toml"),
    );
    let uids: Vec<&str> = outcome.rows.iter().map(|(_, product)| product.uid.as_str()).collect();
    assert_eq!(&uids[..5], ["prd_linen-shirt", "prd_enamel-mug", "prd_winter-scarf", "prd_old-lamp", "prd_gift-card"]);
    assert_eq!(uids.len(), 6);
    assert_eq!(outcome.rows[5].1.status.as_ref().unwrap().phase, "unlisted");
    assert_eq!(
        outcome.refused,
        [
            (
                12,
                "annotations.source/price: is not a decimal such as 12.50 (`decimal` has settings for other \
                 notations): \"twenty\""
                    .to_owned()
            ),
            (12, "uid: all its records were refused".to_owned()),
        ]
    );

    let shirt = outcome.product("prd_linen-shirt");
    assert_eq!((shirt.name.as_str(), shirt.status.as_ref().unwrap().phase.as_str()), ("Linen Shirt", "active"));
    assert_eq!(
        sorted(&shirt.labels),
        [
            ("source", "shopify"),
            ("vendor", "north-sons"),
            ("type", "shirt"),
            ("tag/summer-sale", "true"),
            ("tag/linen", "true"),
            ("tag/men-s", "true"),
        ]
        .into()
    );
    assert_eq!(
        sorted(&shirt.annotations),
        [
            ("source/handle", "linen-shirt"),
            ("source/vendor", "North & Sons"),
            ("source/type", "Shirt"),
            ("source/tags", "Summer Sale, Linen,  men's"),
            ("source/category", "Apparel & Accessories > Clothing"),
            ("source/published", "true"),
            ("source/sku", "LS-S"),
            ("source/price", "49.00"),
            ("source/image", "https://cdn.example.com/linen-shirt-1.jpg"),
            ("source/body-html", "<p>Light, and cut \"wide\".</p>\n<p>Made in Portugal.</p>"),
        ]
        .into()
    );
    let lamp = outcome.product("prd_old-lamp");
    assert_eq!(lamp.status.as_ref().unwrap().phase, "archived");
    assert_eq!(sorted(&lamp.labels), [("source", "shopify")].into());
    assert_eq!(outcome.product("prd_winter-scarf").status.as_ref().unwrap().phase, "draft");
}

/// The template of today, with handles, vendors and tags of several scripts.
#[test]
fn a_shopify_export_with_url_handles_gives_the_same_products() {
    let file = repository("tests/data/shopify-products-url-handle-sample.csv");
    let mapping = Mapping::load(&repository("deploy/examples/shopify-products.toml")).unwrap();
    let rows = FileRows::open(&PRODUCTS, &file, Input::open(&file).unwrap(), None, Some(&mapping)).unwrap();
    let omissions = rows.omissions();
    let outcome: Outcome<Product> = drain(rows).unwrap();
    assert_eq!((outcome.refused.as_slice(), outcome.records), (&[][..], 7));
    let names: Vec<(&str, &str)> =
        outcome.rows.iter().map(|(_, product)| (product.uid.as_str(), product.name.as_str())).collect();
    let expected = [
        ("prd_linen-shirt", "Linen Shirt"),
        ("prd_7-1.", "شاي أخضر"),
        ("prd_7-1.", "قهوة عربية"),
        ("prd_caf-noir.", "Café Noir"),
        ("prd_caf-noir", "Caf Noir"),
        ("prd_tagged", "Tagged"),
    ];
    for ((uid, name), (beginning, expected)) in names.iter().zip(expected) {
        assert!(uid.starts_with(beginning) && *name == expected, "{uid}: {name}");
    }
    assert_eq!(names.iter().map(|(uid, _)| uid).collect::<std::collections::BTreeSet<_>>().len(), expected.len());

    // What was there before has the uid, the labels and the annotations that the older template gives it.
    let older: Outcome<Product> = read_file(
        &PRODUCTS,
        &repository("tests/data/shopify-products-sample.csv"),
        &repository("deploy/examples/shopify-products.toml"),
    );
    let (mut shirt, older) = (outcome.product("prd_linen-shirt").clone(), older.product("prd_linen-shirt"));
    assert_eq!(shirt.annotations.remove("source/barcode").as_deref(), Some("0501"));
    assert_eq!(shirt, *older);

    let labels = |place: usize| &outcome.rows[place].1.labels;
    let tags = |place: usize| labels(place).keys().filter(|key| key.starts_with("tag/")).count();
    assert_eq!((tags(1), tags(2), tags(3)), (3, 2, 2), "each tag is a label: {:?}", labels(3));
    assert!(labels(1)["vendor"] != labels(2)["vendor"] && labels(3)["vendor"] != labels(4)["vendor"]);
    assert_eq!(labels(1)["type"], labels(2)["type"]);
    let annotations = |place: usize| &outcome.rows[place].1.annotations;
    assert_eq!(annotations(1)["source/tags"], "شاي, أخضر, 7");
    assert_eq!(annotations(1)["source/vendor"], "بيت الشاي");
    assert_eq!(annotations(1)["source/price"], "12.5000");
    let phases: Vec<&str> =
        outcome.rows.iter().map(|(_, product)| product.status.as_ref().unwrap().phase.as_str()).collect();
    assert_eq!(phases, ["active", "active", "unlisted", "draft", "archived", "active"]);
    assert_eq!(annotations(2)["source/published"], "false");

    assert_eq!((tags(5), annotations(5)["source/tags"].split(',').count()), (50, 250));
    let expected = "200 left out of written rows: labels.tag/*: came after the first 50: line 9";
    assert_eq!(omissions.lines(), [expected]);
}

/// Lines, the sum of what they come to, and the sum of their quantities.
fn sums(outcome: &Outcome<Order>) -> (usize, String, i64) {
    let lines = || outcome.rows.iter().flat_map(|(_, order)| &order.line_items);
    let total = lines().fold(Decimal::zero(), |total, line| {
        let price: Decimal = line.unit_price.parse().unwrap();
        let quantity: Decimal = line.quantity.to_string().parse().unwrap();
        total.checked_add(&price.checked_mul(&quantity).unwrap()).unwrap()
    });
    (lines().count(), total.to_string(), lines().map(|line| i64::from(line.quantity)).sum())
}

fn phase(order: &Order) -> &str {
    &order.status.as_ref().unwrap().phase
}

fn retail_line(code: &str, slug: &str, name: &str, quantity: i32, price: &str) -> LineItem {
    LineItem {
        product_uid: format!("prd_{slug}"),
        sku: code.into(),
        name: name.into(),
        quantity,
        unit_price: price.into(),
        ..LineItem::default()
    }
}

fn retail(path: &Path) -> Outcome<Order> {
    let outcome: Outcome<Order> = read_file(&ORDERS, path, &repository("deploy/examples/online-retail-orders.toml"));
    assert_eq!(outcome.refused, []);
    for (line, order) in &outcome.rows {
        assert_eq!(order.currency_code, "GBP", "line {line}");
        assert_eq!(phase(order), if order.uid.starts_with("ord_c") { "returned" } else { "fulfilled" }, "line {line}");
        assert!(order.create_ts.is_some() && !order.customer_id.contains('.') && order.addresses.is_empty());
        assert!(order.line_items.iter().all(|line| line.uid.is_empty() && line.line_number == 0));
    }
    outcome
}

#[test]
fn the_sample_of_a_shop_gives_its_orders() {
    let outcome = retail(&repository("tests/data/online-retail-sample.csv"));
    assert_eq!((outcome.records, outcome.rows.len()), (201, 50));
    assert_eq!(sums(&outcome), (201, "14261.461".into(), 1_586));

    let order = outcome.order("ord_c700301");
    assert_eq!((phase(order), order.customer_id.as_str()), ("returned", "18101"));
    assert_eq!(order.line_items, [retail_line("31000A", "31000a", "RED RETROSPOT STYLE BIRDHOUSE", -1, "13.73")]);
    // British summer time had begun two days before.
    assert_eq!(order.create_ts.unwrap().seconds, 1_301_389_200);
    assert_eq!(outcome.order("ord_700101").create_ts.unwrap().seconds, 1_301_098_140);
    assert_eq!(sorted(&outcome.order("ord_700313").annotations), [("source/country", "France")].into());
    assert_eq!(outcome.order("ord_700308").line_items, [retail_line("M", "m", "Manual", 1, "0.001")]);
    assert_eq!(
        outcome.order("ord_700307").line_items,
        [
            retail_line("POST", "post", "POSTAGE", 1, "18.00"),
            retail_line("BANK CHARGES", "bank-charges", "Bank Charges", 1, "15.00"),
            retail_line("gift_0009_40", "gift-0009-40", "Gift voucher £40.00", 1, "33.33"),
        ]
    );
    let twice = &outcome.order("ord_700309").line_items;
    assert_eq!((twice.len(), &twice[0]), (2, &twice[1]), "the same line twice is two lines");
    // Lines of two minutes: the first one counts.
    assert_eq!(outcome.order("ord_700310").create_ts.unwrap().seconds, 1_301_390_040);
    assert_eq!(outcome.order("ord_700303").customer_id, "");
    assert_eq!(outcome.order("ord_700304").line_items[1], retail_line("99002", "99002", "", 5, "0.0"));
}

#[test]
fn the_real_shop_gives_exactly_its_orders() {
    let Some(path) = shared_file("online-retail-2010-12_2011-06.csv.gz") else { return };
    let outcome = retail(&path);
    assert_eq!((outcome.records, outcome.rows.len()), (245_903, 12_795));
    assert_eq!(sums(&outcome), (245_903, "4397950.761".into(), 2_292_167));
    assert!(outcome.rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "orders come in the order of the file");
    let products: std::collections::BTreeSet<&str> =
        outcome.rows.iter().flat_map(|(_, order)| &order.line_items).map(|line| line.product_uid.as_str()).collect();
    assert_eq!(products.len(), 3_561, "as many as the same file has products");
}

#[test]
fn a_shopify_export_gives_its_orders() {
    let outcome: Outcome<Order> = read_file(
        &ORDERS,
        &repository("tests/data/shopify-orders-sample.csv"),
        &repository("deploy/examples/shopify-orders.toml"),
    );
    let phases: Vec<(&str, &str)> = outcome.rows.iter().map(|(_, order)| (order.uid.as_str(), phase(order))).collect();
    assert_eq!(
        phases,
        [
            ("ord_1001", "fulfilled"),
            ("ord_1002", "draft"),
            ("ord_1003-b", "cancelled"),
            ("ord_1004", "returned"),
            ("ord_1006", "provisioning"),
            ("ord_1007", "confirmed"),
        ]
    );
    assert_eq!(
        outcome.refused,
        [
            (11, "line_items.quantity: is not a 32-bit integer: \"one\"".to_owned()),
            (10, "uid: one of its records was refused: \"ord_1005\"".to_owned()),
        ]
    );

    let order = outcome.order("ord_1001");
    assert_eq!((order.customer_id.as_str(), order.currency_code.as_str()), ("ada@example.com", "GBP"));
    assert_eq!(order.create_ts.unwrap().seconds, 1_714_572_000);
    let line = |sku: &str, name: &str, quantity, unit_price: &str, discount: &str| LineItem {
        sku: sku.into(),
        name: name.into(),
        quantity,
        unit_price: unit_price.into(),
        discount: discount.into(),
        ..LineItem::default()
    };
    assert_eq!(
        order.line_items,
        [
            line("LS-S", "Linen Shirt - S", 2, "49.00", "9.80"),
            line("MUG-N", "Enamel Mug, \"North\"", 1, "12.00", "0.00"),
            line("", "Gift Card", 4, "11.00", "0.00"),
        ]
    );
    let billing = Address {
        kind: AddressKind::Billing.into(),
        name: "Ada Lovelace".into(),
        company: "Analytical Engines, Ltd".into(),
        lines: vec!["12 St James's Square".into(), "Flat \"B\", 2nd floor".into()],
        city: "London".into(),
        postal_code: "SW1Y 4LB".into(),
        country_code: "GB".into(),
        phone: "+44 20 7946 0000".into(),
        ..Address::default()
    };
    let shipping = Address {
        kind: AddressKind::Shipping.into(),
        name: "Charles Babbage".into(),
        lines: vec!["12 St James's Square".into()],
        ..billing.clone()
    };
    assert_eq!(order.addresses, [billing, shipping]);
    assert_eq!(order.summary.as_ref().unwrap().shipping, "4.95");
    assert_eq!(
        sorted(&order.labels),
        [
            ("source", "shopify"),
            ("financial-status", "paid"),
            ("fulfillment-status", "fulfilled"),
            ("tag/wholesale", "true"),
            ("tag/first-order", "true"),
        ]
        .into()
    );
    assert_eq!(
        sorted(&order.annotations),
        [
            ("source/name", "#1001"),
            ("source/tags", "Wholesale, First Order"),
            ("source/id", "5501"),
            ("source/subtotal", "144.20"),
            ("source/discount-code", "SPRING"),
            ("source/discount-amount", "9.80"),
            ("source/taxes", "24.86"),
            ("source/total", "149.15"),
            ("source/shipping-method", "Standard"),
            ("source/notes", "Leave it\nwith the \"porter\""),
        ]
        .into()
    );

    let unshipped = &outcome.order("ord_1002").addresses;
    assert_eq!(unshipped.len(), 1);
    assert_eq!(
        (unshipped[0].kind(), unshipped[0].postal_code.as_str(), unshipped[0].phone.as_str()),
        (AddressKind::Billing, "02139", "+16175550100")
    );
    assert_eq!(outcome.order("ord_1002").line_items[0].unit_price, "0.001");
    assert_eq!(outcome.order("ord_1003-b").addresses[1].country_code, "DE");
    assert_eq!(outcome.order("ord_1006").line_items.len(), 1, "a record without an item makes no line");
}

/// The template of today, with names in several scripts.
#[test]
fn a_shopify_export_with_payment_ids_gives_its_orders() {
    let outcome: Outcome<Order> = read_file(
        &ORDERS,
        &repository("tests/data/shopify-orders-payment-id-sample.csv"),
        &repository("deploy/examples/shopify-orders.toml"),
    );
    let uids: Vec<&str> = outcome.rows.iter().map(|(_, order)| order.uid.as_str()).collect();
    assert!(uids[0].starts_with("ord_1004.") && uids[1].starts_with("ord_1004.") && uids[0] != uids[1], "{uids:?}");
    assert_eq!(&uids[2..], ["ord_1005", "ord_1006"]);
    let refusal = "uid: two different keys of the file become the same; the first one is used: \"1005 and #1005 (line \
        5) would both become ord_1005\"";
    assert_eq!(outcome.refused, [(6, refusal.to_owned())]);
    assert_eq!(outcome.order("ord_1005").currency_code, "EUR", "nothing of the other one");
    let order = &outcome.rows[0].1;
    assert_eq!((order.line_items.len(), order.line_items[1].unit_price.as_str()), (2, "12.5000"));
    assert_eq!(order.annotations["source/duties"], "12.50");
    assert_eq!(order.annotations["source/name"], "№1004");
    assert_eq!(order.labels.keys().filter(|key| key.starts_with("tag/")).count(), 2);
    assert_eq!(order.addresses[0].region, "JP-26");
}
