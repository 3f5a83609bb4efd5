-- migrate:up
comment on column records.tag_group.tag_uids is 'tag_uids[] references records.tag.uid on orphan report';

comment on column records.macrodata_artifact.body is 'The fields of the message of the kind.
body.template_uid references records.macrodata_artifact.uid on orphan report
body.report_uid references records.macrodata_artifact.uid on orphan report
body.suggestion_uid references records.macrodata_artifact.uid on orphan report
body.product_uids[] references catalog.product.uid on orphan report';

-- migrate:down
comment on column records.tag_group.tag_uids is 'A list of texts, each a records.tag.uid.';
comment on column records.macrodata_artifact.body is 'The fields of the message of the kind. template_uid, report_uid and suggestion_uid are each a records.macrodata_artifact.uid, product_uids a list of catalog.product.uid.';
