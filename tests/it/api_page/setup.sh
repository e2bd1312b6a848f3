# What the reader of docs/api.md finds: two partners with a registrar and members, a program, and a published call. Made with the
# page's own functions, which come before this text. Wants $EXCHANGE, $EXCHANGE_CA, $PKI and $POLICIES; ends with what the page wants.

: > pins
for code in USA ISR; do echo "$code $(sha256 "$PKI/$code/card.json")" >> pins; done

ends() { date -u -d "$(openssl x509 -in "$1" -noout -enddate | cut -d= -f2)" +%FT%TZ; }

publish_key_card() { # publish_key_card MEMBER ORGANISATION ROLES
  partner=${1%%:*} handle=${1##*:}
  CERT=$PKI/$partner/registrar.crt KEY=$PKI/$partner/registrar.key
  age-keygen --output "$partner-$handle.age" 2> /dev/null
  jq -cjnS --arg member "$1" --arg organisation "$2" --argjson roles "$3" --arg recipient "$(age-keygen -y "$partner-$handle.age")" \
    --arg until "$(ends "$PKI/$partner/$handle.crt")" --arg pin "$(spki "$PKI/$partner/$handle.crt")" '{member: $member, name: "Somebody", organisation: $organisation, roles: $roles,
      recipients: [$recipient], certificates: [$pin], serial: 1, valid_from: "2020-01-01T00:00:00Z",
      valid_until: $until, status: "active"}' | sign entente-key-card+jws > card.jws
  jq -n --rawfile card card.jws --rawfile certificate "$PKI/$partner/$handle.crt" \
    '{key_card: $card, certificates: [$certificate]}' > body.json
  api PUT "/v1/members/$1/key-card" --json @body.json > answer.json
}

publish_key_card USA:registrar 'Office of Cooperative Programs' '["registrar"]'
publish_key_card ISR:registrar 'Innovation Authority' '["registrar"]'
# Each nation's policies: proposed by one policy officer, approved by another.
publish_policies() { # publish_policies CODE
  publish_key_card "$1:drafter" 'Policy Office' '["policy_officer"]'
  publish_key_card "$1:approver" 'Policy Office' '["policy_officer"]'
  CERT=$PKI/$1/drafter.crt KEY=$PKI/$1/drafter.key
  jq -cjnS --arg owner "$1" --arg text "$(sha256 "$POLICIES/$1.cedar")" \
    '{owner: $owner, version: 1, text_sha256: $text, active_at: "2026-01-01T00:00:00Z"}' > policy.json
  sign entente-policy+jws < policy.json > policy.jws
  jq -n --rawfile text "$POLICIES/$1.cedar" --rawfile statement policy.jws '{text: $text, statement: $statement}' > body.json
  api POST "/v1/policies/$1/versions" --json @body.json > answer.json
  CERT=$PKI/$1/approver.crt KEY=$PKI/$1/approver.key
  jq -cjnS --arg owner "$1" --arg policy "$(sha256 policy.json)" '{owner: $owner, version: 1, policy_sha256: $policy}' |
    sign entente-policy-approval+jws > approval.jws
  jq -n --rawfile approval approval.jws '{approval: $approval}' > body.json
  api POST "/v1/policies/$1/versions/1/approve" --json @body.json > answer.json
}
publish_policies USA
publish_policies ISR

publish_key_card USA:dana 'Office of Cooperative Programs' '["program_officer"]'
publish_key_card USA:carol 'Blue Mesa Instruments' '[]'
publish_key_card ISR:avi 'Galil Optics' '[]'

CERT=$PKI/USA/dana.crt KEY=$PKI/USA/dana.key
echo '{"name": "US-Israel", "lead": "USA", "partners": ["USA", "ISR"]}' > body.json
api POST /v1/programs --json @body.json > program.json

instant() { date -u -d "@$(($(date +%s) + $1))" +%FT%TZ; }
jq -n --arg program "$(jq -r .id program.json)" --arg opens "$(instant -60)" --arg deadline "$(instant 3600)" --arg due "$(instant 7200)" '
  def slot($name; $audience): {name: $name, title: $name, required: true, media_types: ["application/pdf"], max_bytes: 1000000,
    audience: $audience};
  {program: $program, text: {code: "NAV26", title: "Navigation without satellites", text: "Joint call \u0026 more", topics: ["sensing"],
   criteria: [{name: "excellence", title: "Excellence", max: 5, step: 0.5, weight: 1, threshold: 3}],
   slots: [slot("work-plan"; "panel"), slot("shareholders"; "staff")], eligible: ["ISR", "USA"], funders: ["ISR", "USA"],
   parties: {at_least: 2, at_most: 2, required: ["ISR", "USA"]},
   schedule: {opens_at: $opens, deadline_at: $deadline, grace_seconds: 60, reviews_due_at: $due}}}' > body.json
api POST /v1/calls --json @body.json --dump-header headers > call.json
CALL=$(jq -r .id call.json)

vault=$(own_id vault USA:dana)
age-keygen 2> /dev/null | grep '^AGE-SECRET-KEY-' > call.key
recipient=$(age-keygen -y call.key) officer=$(age-keygen -y USA-dana.age)
jq -cjS --arg vault "$vault" --arg recipient "$recipient" '{call: .id, version: 1, text, text_sha256, vault: $vault,
  recipient: $recipient, host: "USA"}' call.json | sign entente-call+jws > publication.jws
jq -cjnS --arg vault "$vault" --arg recipient "$recipient" --arg call "$CALL" '{vault: $vault, kind: "call", call: $call,
  recipient: $recipient}' | sign entente-vault+jws > vault.jws
jq -cjnS --arg call "$CALL" '{call: $call, partners: ["ISR", "USA"], roles: {"USA:dana": ["officer"]}}' |
  sign entente-roll+jws > roll.jws
age --encrypt --recipient "$officer" --output wrapped.age call.key
jq -cjnS --arg vault "$vault" --arg recipient "$officer" --arg sha256 "$(sha256 wrapped.age)" '{vault: $vault, to: "USA:dana",
  recipient: $recipient, sha256: $sha256}' | sign entente-wrap+jws > wrap.jws
jq -n --rawfile publication publication.jws --rawfile vault vault.jws --rawfile wrap wrap.jws \
  --rawfile roll roll.jws --arg wrapped "$(base64 --wrap=0 wrapped.age)" \
  '{publication: $publication, vault: $vault, roll: $roll, keys: [{statement: $wrap, ciphertext: $wrapped}]}' > body.json
api POST "/v1/calls/$CALL/publish" --header "If-Match: $(sed -n 's/^etag: \(".*"\).*/\1/ip' headers)" --json @body.json > published.json

export EXCHANGE EXCHANGE_CA CALL PINS="$PWD/pins"
export ME=ISR:avi CERT="$PKI/ISR/avi.crt" KEY="$PKI/ISR/avi.key" AGE_KEY="$PWD/ISR-avi.age"
export THEM=USA:carol THEIR_CERT="$PKI/USA/carol.crt" THEIR_KEY="$PKI/USA/carol.key" THEIR_AGE_KEY="$PWD/USA-carol.age"
