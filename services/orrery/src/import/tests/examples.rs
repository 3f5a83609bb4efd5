//! The mappings of `deploy/examples` on the files that they are for.

use super::*;

#[test]
fn the_sample_of_a_shop_gives_its_products() {
    let outcome = read_file(
        &repository("tests/data/online-retail-sample.csv"),
        &repository("deploy/examples/online-retail.toml"),
    );
    assert_eq!((outcome.records, outcome.products.len(), outcome.named()), (201, 52, 50));
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
    let path = repository("../shared/data/online-retail-2010-12_2011-06.csv.gz");
    if !path.exists() {
        // Past the capture of the test's output, so that it is seen.
        writeln!(std::io::stderr(), "NOT TESTED: {} is missing, so its numbers were not checked", path.display())
            .unwrap();
        return;
    }
    let outcome = read_file(&path, &repository("deploy/examples/online-retail.toml"));
    assert_eq!((outcome.records, outcome.products.len(), outcome.named()), (245_903, 3_561, 3_456));
    assert_eq!(outcome.refused, []);
    let first = outcome.product("prd_85123a");
    assert_eq!(first.name, "WHITE HANGING HEART T-LIGHT HOLDER");
    assert_eq!(sorted(&first.annotations), [("source/stock-code", "85123A")].into());
    assert_eq!(outcome.products[0].1, *first);
    assert!(outcome.products.windows(2).all(|pair| pair[0].0 < pair[1].0), "rows come in the order of the file");
}

#[test]
fn a_shopify_export_gives_its_products() {
    let outcome = read_file(
        &repository("tests/data/shopify-products-sample.csv"),
        &repository("deploy/examples/shopify-products.toml"),
    );
    let uids: Vec<&str> = outcome.products.iter().map(|(_, product)| product.uid.as_str()).collect();
    assert_eq!(uids, ["prd_linen-shirt", "prd_enamel-mug", "prd_winter-scarf", "prd_old-lamp", "prd_gift-card"]);
    assert_eq!(
        outcome.refused,
        [
            (12, "annotations.source/price: is no decimal such as 12.50: \"twenty\"".to_owned()),
            (13, "status.phase: is none of `active`, `archived`, `draft`: \"unlisted\"".to_owned()),
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
