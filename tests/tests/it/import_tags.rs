//! `orrery import` and `orrery export` of tags and of the tags of products: names become tags, cells become several
//! rows, and what is exported comes back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::operator::{CommandResult, ended, orrery, run};
use crate::records::Records;

const SHOPIFY: &str = "--mapping=deploy/examples/shopify-product-tags.toml";
const LINKS: &str = "--mapping=deploy/examples/product-tags.toml";
const TAGS: &str = "--mapping=deploy/examples/tags.toml";

/// A records service with products, and a folder for files.
struct Shop {
    records: Records,
    folder: tempfile::TempDir,
}

impl Shop {
    async fn with_products(uids: &[&str]) -> Self {
        let shop = Self { records: Records::new().await, folder: tempfile::tempdir().unwrap() };
        for uid in uids {
            shop.records.execute(&format!("insert into catalog.product (uid) values ('{uid}')")).await;
        }
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn address(&self) -> String {
        format!("--records={}", self.records.server.address())
    }

    /// Runs `orrery import NOUN` on a file.
    async fn import(&self, noun: &str, file: &str, arguments: &[&str]) -> CommandResult {
        run(&[&["import", noun, file, &self.address()], arguments].concat()).await
    }

    /// The same with a file of this text.
    async fn import_text(&self, noun: &str, name: &str, text: &str, arguments: &[&str]) -> CommandResult {
        std::fs::write(self.path(name), text).unwrap();
        self.import(noun, self.path(name).to_str().unwrap(), arguments).await
    }

    async fn export(&self, noun: &str, arguments: &[&str]) -> String {
        let exported = run(&[&["export", noun, &self.address()], arguments].concat()).await;
        assert_eq!(exported.code, Some(0), "{exported:?}");
        exported.stdout
    }

    /// All links as `product:tag name`, in order.
    async fn links(&self) -> Vec<String> {
        let select = "select product_uid || ':' || coalesce(name, tag_uid) collate \"C\" from records.link_product_tag \
                      left join records.tag on uid = tag_uid order by 1";
        self.records.texts(select).await
    }

    /// The names of all tags, in order.
    async fn tags(&self) -> Vec<String> {
        self.records.texts("select name collate \"C\" from records.tag order by 1").await
    }

    /// All tags with their categories as `name:category`, in order.
    async fn categories(&self) -> Vec<String> {
        let select = "select name || ':' || coalesce(category_name, '') collate \"C\" from records.tag \
                      left join records.tag_classification on uid = tag_uid order by 1";
        self.records.texts(select).await
    }
}

fn rejected(path: &std::path::Path) -> Vec<(u64, String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let json = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_owned();
    let mut told: Vec<_> =
        json.map(|row| (row["line"].as_u64().unwrap(), text(&row, "kind"), text(&row, "field"))).collect();
    told.sort_unstable();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tags_of_a_shopify_export_are_those_of_its_products() {
    let shop = Shop::with_products(&[]).await;
    let catalog = format!("--catalog={}", shop.records.catalog.address());
    let products = "--mapping=deploy/examples/shopify-products.toml";
    for file in ["tests/data/shopify-products-sample.csv", "tests/data/shopify-products-url-handle-sample.csv"] {
        run(&["import", "products", file, products, &catalog]).await;
    }
    let rejects = shop.path("rejects.jsonl");
    let file = "tests/data/shopify-products-sample.csv";
    let arguments = [SHOPIFY, &format!("--rejects={}", rejects.display())];
    let first = shop.import("product-tags", file, &arguments).await;
    // The product import refused the product of line 12.
    assert_eq!((first.code, first.counts()), (Some(3), [6, 0, 0, 1]), "{first:?}");
    assert!(first.stdout.contains("11 records read, 7 product tags in them"), "{first:?}");
    assert_eq!(rejected(&rejects), [(12, "product tag".to_owned(), "product_uid".to_owned())]);
    assert_eq!(first.count("tags created, because the file names them"), 7);
    let links = [
        "prd_enamel-mug:kitchen",
        "prd_linen-shirt:Linen",
        "prd_linen-shirt:Summer Sale",
        "prd_linen-shirt:men's",
        "prd_winter-scarf:winter",
        "prd_winter-scarf:wool",
    ];
    assert_eq!(shop.links().await, links);
    let again = shop.import("product-tags", file, &arguments).await;
    assert_eq!((again.code, again.counts()), (Some(3), [0, 0, 6, 1]), "{again:?}");
    assert!(!again.stdout.contains("tags created"), "{again:?}");

    let other = "tests/data/shopify-products-url-handle-sample.csv";
    let imported = shop.import("product-tags", other, &[SHOPIFY]).await;
    assert_eq!((imported.code, imported.counts()), (Some(0), [257, 0, 3, 0]), "{imported:?}");
    let products = shop.records.texts(
        "select distinct p.name from catalog.product p join records.link_product_tag l on l.product_uid = p.uid \
         join records.tag t on t.uid = l.tag_uid where t.name in ('7', 'C++', 'C#') order by 1",
    );
    let mut products = products.await;
    products.sort_unstable();
    assert_eq!(products, ["Café Noir", "شاي أخضر", "قهوة عربية"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_has_a_tag_for_each_part_that_is_one() {
    let shop = Shop::with_products(&["prd_a", "prd_b", "prd_c"]).await;
    shop.records.execute("insert into records.tag (uid, name) values ('tag_1', 'Green')").await;
    let (long, most) = ("x".repeat(257), "é".repeat(128));
    let text = format!(
        "Handle,Title,Tags\n\
         A,A,\" green ,, Retro,\tretro , GREEN,\"\n\
         a,,\n\
         b,B,\"new,{long},{most}\"\n\
         b,,\n\
         c,C,\" , \"\n\
         d,D,retro\n"
    );
    let rejects = shop.path("rejects.jsonl");
    let arguments = [SHOPIFY, &format!("--rejects={}", rejects.display())];
    let imported = shop.import_text("product-tags", "x.csv", &text, &arguments).await;
    assert_eq!((imported.code, imported.counts()), (Some(3), [4, 0, 0, 2]), "{imported:?}");
    assert_eq!(imported.count("superseded by a later row with the same key"), 0);
    let kind = || "product tag".to_owned();
    assert_eq!(rejected(&rejects), [(4, kind(), "tag_name".to_owned()), (7, kind(), "product_uid".to_owned())]);
    assert!(imported.stderr.contains("tag_name: is longer than the 256 bytes of a tag's name: line 4"), "{imported:?}");
    let links = ["prd_a:Green", "prd_a:Retro", "prd_b:new", &format!("prd_b:{most}")];
    assert_eq!(shop.links().await, links);
    assert_eq!(shop.tags().await, ["Green", "Retro", "new", &most]);

    // Products and tags that come later.
    let accepted =
        shop.import_text("product-tags", "y.csv", "Handle,Tags\nd,retro\n", &[SHOPIFY, "--reference-check=accept"]);
    let accepted = accepted.await;
    assert_eq!((accepted.code, accepted.counts()), (Some(0), [1, 0, 0, 0]), "{accepted:?}");

    let stopped = shop.import_text("product-tags", "z.csv", &text, &[SHOPIFY, "--on-row-error=stop"]).await;
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    assert!(stopped.stderr.contains("line 4: tag_name: is longer than"), "{stopped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_makes_the_tags_of_the_products_of_a_file_those_of_the_file() {
    let shop = Shop::with_products(&["prd_a", "prd_b", "prd_c", "prd_d"]).await;
    let header = "Handle,Title,Tags\n";
    let before = format!("{header}a,A,\"x,y\"\nb,B,x\nc,C,\"x,y\"\nd,D,z\n");
    let imported = shop.import_text("product-tags", "x.csv", &before, &[SHOPIFY, "--mode=replace"]).await;
    assert_eq!((imported.code, imported.counts()), (Some(0), [6, 0, 0, 0]), "{imported:?}");

    // Another line of the product has no tags, the lines of a product are anywhere, and an empty cell is no tag. The
    // file does not name d.
    let after = format!("{header}a,A,\"y,z\"\nb,B,\na,,\nc,C,\"x,y\"\nc,,\n");
    let added = shop.import_text("product-tags", "y.csv", &after, &[SHOPIFY]).await;
    assert_eq!((added.code, added.counts()), (Some(0), [1, 0, 3, 0]), "{added:?}");
    assert_eq!(
        shop.links().await,
        ["prd_a:x", "prd_a:y", "prd_a:z", "prd_b:x", "prd_c:x", "prd_c:y", "prd_d:z"],
        "nothing is removed by an upsert"
    );
    let replaced = shop.import_text("product-tags", "y.csv", &after, &[SHOPIFY, "--mode=replace"]).await;
    assert_eq!((replaced.code, replaced.count("deleted, because the file does not name them")), (Some(0), 2));
    assert_eq!(shop.links().await, ["prd_a:y", "prd_a:z", "prd_c:x", "prd_c:y", "prd_d:z"]);

    // A line that cannot be read may name a tag: its product keeps what it has.
    let file = shop.path("bad.csv");
    std::fs::write(&file, b"Handle,Title,Tags\na,A,y\na,,\xff\nd,D,y\n").unwrap();
    let bad = shop.import("product-tags", file.to_str().unwrap(), &[SHOPIFY, "--mode=replace"]).await;
    assert_eq!((bad.code, bad.counts()), (Some(3), [1, 0, 0, 1]), "{bad:?}");
    assert_eq!(shop.links().await, ["prd_a:y", "prd_a:z", "prd_c:x", "prd_c:y", "prd_d:y"]);

    let mapping = shop.path("x.toml");
    let fields = "[fields]\nproduct_uid = { column = \"Handle\" }\ntag_name = { column = \"Tags\", split = \",\" }\n";
    std::fs::write(&mapping, fields).unwrap();
    let mapping = format!("--mapping={}", mapping.display());
    let loose = shop.import_text("product-tags", "y.csv", &after, &[&mapping, "--mode=replace"]).await;
    assert_eq!(loose.code, Some(1), "{loose:?}");
    assert!(
        loose.stderr.contains("--mode replace needs a mapping with `by = \"product_uid\"` in [group]"),
        "{loose:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tags_of_a_product_are_replaced_in_one_chunk() {
    // More products than a chunk has rows, with two tags each, and one product with more tags than a chunk has rows.
    let shop = Shop::with_products(&["prd_many"]).await;
    shop.records.execute("insert into catalog.product (uid) select 'prd_' || n from generate_series(1, 1999) n").await;
    let two = |text: String, product| text + &format!("prd_{product},one\nprd_{product},two\n");
    let mut text = (1..=1_999).fold("product_uid,tag_name\n".to_owned(), two);
    text += &(0..4_500).fold(String::new(), |text, tag| text + &format!("prd_many,tag {tag}\n"));
    let imported = shop.import_text("product-tags", "x.csv", &text, &[LINKS, "--mode=replace"]).await;
    assert_eq!((imported.code, imported.counts()), (Some(0), [8_498, 0, 0, 0]), "{imported:?}");
    assert_eq!(shop.records.texts("select count(*)::text from records.link_product_tag").await, ["8498"]);
    let again = shop.import_text("product-tags", "x.csv", &text, &[LINKS, "--mode=replace"]).await;
    assert_eq!((again.code, again.counts()), (Some(0), [0, 0, 8_498, 0]), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_comes_back() {
    let shop = Shop::with_products(&["prd_a", "prd_b"]).await;
    shop.records
        .execute(
            "insert into records.tag (uid, name, labels, create_ts) values ('tag_1', 'Green, \"dark\"', '{\"a\": \"b\"}', \
             '2020-01-01'), ('tag_2', ' =retro', '{}', '2021-01-01'), ('tag_3', 'alone', '{}', '2022-01-01');
             insert into records.tag_classification (tag_uid, category_name, tag_name) values ('tag_1', 'Color', \
             'Green, \"dark\"');
             insert into records.link_product_tag (product_uid, tag_uid, create_ts) values ('prd_a', 'tag_1', \
             '2020-02-03 04:05:06.789'), ('prd_a', 'tag_2', '2021-02-03'), ('prd_b', 'tag_2', '2022-02-03')",
        )
        .await;
    let rows = async |shop: &Shop| {
        let select = "select link::text from records.link_product_tag link union all \
                      select uid || name || create_ts::text from records.tag order by 1";
        (shop.records.texts(select).await, shop.categories().await)
    };
    let stored = rows(&shop).await;
    let csv = shop.export("product-tags", &["--format=csv"]).await;
    assert_eq!(
        csv.lines().take(3).collect::<Vec<_>>(),
        [
            "product_uid,tag_uid,tag_name,create_ts",
            "prd_a,tag_1,\"Green, \"\"dark\"\"\",2020-02-03T04:05:06.789Z",
            "prd_a,tag_2,\" =retro\",2021-02-03T00:00:00Z"
        ]
    );
    let json = shop.export("product-tags", &[]).await;
    assert_eq!(
        json.lines().last(),
        Some(r#"{"product_uid":"prd_b","tag_uid":"tag_2","create_ts":"2022-02-03T00:00:00Z","tag_name":" =retro"}"#)
    );
    let tags = [shop.export("tags", &["--format=csv"]).await, shop.export("tags", &[]).await];
    assert!(tags[0].starts_with("uid,name,category_name,status.phase,create_ts,update_ts\ntag_1,"), "{}", tags[0]);
    assert!(tags[1].contains("\"labels\":{\"a\":\"b\"}") && tags[1].contains("\"category_name\":\"Color\""));

    let again = shop.import_text("product-tags", "x.csv", &csv, &[LINKS]).await;
    assert_eq!((again.code, again.counts()), (Some(0), [0, 0, 3, 0]), "{again:?}");
    for (place, name) in ["x.csv", "x.jsonl"].into_iter().enumerate() {
        let clear =
            "delete from records.link_product_tag; delete from records.tag_classification; delete from records.tag";
        shop.records.execute(clear).await;
        let (tags_mapping, links_mapping) = if place == 0 { (&[TAGS][..], &[LINKS][..]) } else { (&[][..], &[][..]) };
        let imported = shop.import_text("tags", name, &tags[place], tags_mapping).await;
        assert_eq!((imported.code, imported.counts()), (Some(0), [3, 0, 0, 0]), "{imported:?}");
        assert!(imported.stdout.contains("categories: 1 new, 0 changed, 0 as before, 0 rejected"), "{imported:?}");
        let links = if place == 0 { &csv } else { &json };
        let imported = shop.import_text("product-tags", name, links, links_mapping).await;
        assert_eq!((imported.code, imported.counts()), (Some(0), [3, 0, 0, 0]), "{imported:?}");
        assert_eq!(rows(&shop).await, stored, "{name}");
    }

    // The same links where the tags have other uids.
    shop.records.execute("delete from records.link_product_tag; update records.tag set uid = uid || 'x'").await;
    let by_name = shop.export("product-tags", &["--format=csv"]).await;
    assert_eq!(by_name, "product_uid,tag_uid,tag_name,create_ts\n", "a file without rows has its header");
    let named = "product_uid,tag_name\nprd_a,\"GREEN, \"\"dark\"\"\"\nprd_a,\" =retro\"\nprd_b,\" =Retro\"\n";
    let imported = shop.import_text("product-tags", "x.csv", named, &[LINKS]).await;
    assert_eq!((imported.code, imported.counts()), (Some(0), [3, 0, 0, 0]), "{imported:?}");
    assert_eq!(shop.links().await, ["prd_a: =retro", "prd_a:Green, \"dark\"", "prd_b: =retro"]);

    let filtered = shop.export("product-tags", &["--filter-product-uid=prd_b", "--read-mask=product_uid"]).await;
    assert_eq!(filtered, "{\"product_uid\":\"prd_b\"}\n");
    let filtered = shop.export("tags", &["--filter-category-name=Color", "--read-mask=uid,category_name"]).await;
    assert_eq!(filtered, "", "the classification names the uid of before");
    let filtered = shop.export("tags", &["--filter-name-contains=RETRO", "--read-mask=name"]).await;
    assert_eq!(filtered, "{\"name\":\" =retro\"}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_found_by_their_names_and_put_into_categories() {
    let shop = Shop::with_products(&[]).await;
    let mapping = shop.path("x.toml");
    let fields = "[fields]\nname = { column = \"Tag\", transforms = [\"trim\"] }\n\
        category_name = { column = \"Category\", transforms = [\"trim\"] }\n";
    std::fs::write(&mapping, fields).unwrap();
    let mapping = format!("--mapping={}", mapping.display());
    shop.records.execute("insert into records.tag (uid, name) values ('tag_1', 'Green')").await;
    let long = "x".repeat(257);
    let text = format!("Tag,Category\nGREEN,Color\n Retro ,\nBlue,Color\n{long},Color\nretro,Style\n,Color\n");
    let rejects = shop.path("rejects.jsonl");
    let arguments = [&mapping, &format!("--rejects={}", rejects.display()), "--write-id=tags"];
    let checked = shop.import_text("tags", "x.csv", &text, &[&mapping, "--validate-only"]).await;
    assert_eq!((checked.code, checked.counts()), (Some(3), [2, 0, 1, 2]), "{checked:?}");
    assert_eq!(shop.tags().await, ["Green"], "a check writes nothing");

    let imported = shop.import_text("tags", "x.csv", &text, &arguments).await;
    assert_eq!((imported.code, imported.counts()), (Some(3), [2, 0, 1, 2]), "{imported:?}");
    assert_eq!(imported.count("superseded by a later row with the same key"), 1, "{imported:?}");
    assert_eq!(shop.categories().await, ["Blue:Color", "Green:Color", "retro:Style"]);
    let told = rejected(&rejects);
    let fields: Vec<(u64, &str)> = told.iter().map(|(line, _, field)| (*line, field.as_str())).collect();
    assert_eq!(fields, [(5, "name"), (5, "tag_uid"), (7, "name")], "the tag, its category, and a row without a name");

    // The same rows are the same rows, also the one that was rejected and has no tag to take its uid from.
    let resumed = shop.import_text("tags", "x.csv", &text, &arguments).await;
    assert_eq!((resumed.code, resumed.counts()), (Some(3), [0, 0, 0, 1]), "{resumed:?}");
    assert_eq!(resumed.count("committed before under this write id"), 5, "{resumed:?}");
    let other = shop.import_text("tags", "x.csv", &text.replace("Blue", "Red"), &arguments).await;
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.stderr.contains("differs from the one that was committed there"), "{other:?}");
    assert_eq!(shop.tags().await, ["Blue", "Green", "retro"]);

    // A tag moves to another category, and an empty one leaves it where it is.
    let moved = shop.import_text("tags", "y.csv", "Tag,Category\nblue,Mood\ngreen,\n", &[&mapping]).await;
    assert_eq!((moved.code, moved.counts()), (Some(0), [0, 0, 2, 0]), "{moved:?}");
    assert!(moved.stdout.contains("categories: 0 new, 1 changed, 0 as before, 0 rejected"), "{moved:?}");
    assert_eq!(shop.categories().await, ["Blue:Mood", "Green:Color", "retro:Style"]);
    let text = format!("Tag,Category\nblue,{long}\n");
    let refused = shop.import_text("tags", "z.csv", &text, &[&mapping]).await;
    assert_eq!((refused.code, refused.counts()), (Some(3), [0, 0, 1, 0]), "{refused:?}");
    assert!(refused.stderr.contains("category_name: FIELD_INVALID: line 2"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_creates_no_tags() {
    let shop = Shop::with_products(&["prd_a"]).await;
    shop.records.execute("insert into records.tag (uid, name) values ('tag_1', 'Green')").await;
    let text = "Handle,Tags\na,\"green,new,newer\"\nb,green\n";
    let checked = shop.import_text("product-tags", "x.csv", text, &[SHOPIFY, "--validate-only"]).await;
    assert_eq!((checked.code, checked.counts()), (Some(3), [1, 0, 0, 1]), "{checked:?}");
    assert_eq!(checked.count("not checked further, because an import would create their tags"), 2);
    assert_eq!((shop.tags().await, shop.links().await.len()), (vec!["Green".to_owned()], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_links_that_was_killed_goes_on_under_its_write_id() {
    let shop = Shop::with_products(&[]).await;
    shop.records.execute("insert into catalog.product (uid) select 'prd_' || n from generate_series(0, 9999) n").await;
    let rows = |from: usize, to: usize| {
        (from..to).fold(String::new(), |text, row| {
            text + &format!("{{\"product_uid\":\"prd_{row}\",\"tag_name\":\"Tag {}\"}}\n", row % 700)
        })
    };
    let address = shop.address();
    let arguments = ["import", "product-tags", "-", "--format=jsonl", "--write-id=nightly", &address];
    let mut import = orrery(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = import.stdin.take().unwrap();
    stdin.write_all(rows(0, 7_000).as_bytes()).unwrap();
    let stored = async || {
        shop.records.texts("select count(*)::text from records.link_product_tag").await[0].parse::<usize>().unwrap()
    };
    let wait = async {
        while stored().await < 4_000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
    import.kill().unwrap();
    import.wait().unwrap();

    let resume = async |text: String| {
        let mut import = orrery(&arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = import.stdin.take().unwrap();
        let writing = tokio::task::spawn_blocking(move || stdin.write_all(text.as_bytes()));
        let result = ended(import).await;
        // It may end before it has read everything.
        let _written = writing.await.unwrap();
        result
    };
    let other = resume(rows(1, 10_000)).await;
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.stderr.contains("the product tag at offset 0, which begins on line 1, differs"), "{other:?}");
    let whole = resume(rows(0, 10_000)).await;
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let before = whole.count("committed before under this write id");
    assert!(before >= 4_000 && whole.count("created") + before == 10_000, "{whole:?}");
    assert_eq!((stored().await, shop.tags().await.len()), (10_000, 700));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_ends_the_import_and_says_so() {
    let shop = Shop::with_products(&["prd_a"]).await;
    std::fs::write(shop.path("x.csv"), "Handle,Tags\na,green\n").unwrap();
    let file = shop.path("x.csv");
    let file = file.to_str().unwrap();
    let nowhere = run(&["import", "product-tags", file, SHOPIFY, "--records=127.0.0.1:1", "--patience=0"]).await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    let message = "orrery: the import ended early: 127.0.0.1:1 cannot be reached";
    assert!(nowhere.stderr.contains(message) && nowhere.stderr.contains("run it again with --write-id"), "{nowhere:?}");
    for (arguments, message) in [
        (&["export", "products", "--format=csv"][..], "CSV of products needs --read-mask"),
        (&["export", "tags", "--format=csv", "--read-mask=uid,labels.a/*"], "is not one value"),
        (&["import", "product-tags", file, "--mode=create"], "invalid value 'create'"),
    ] {
        let wrong = run(arguments).await;
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
        assert!(wrong.stderr.contains(message), "{wrong:?}");
    }
    let nameless = run(&["export", "tags", "--read-mask=category_name", &shop.address()]).await;
    assert_eq!(nameless.code, Some(1), "{nameless:?}");
    assert!(nameless.stderr.contains("category_name needs uid beside it"), "{nameless:?}");
}
