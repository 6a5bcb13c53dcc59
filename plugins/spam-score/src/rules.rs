//! The rules that are code: their names, which are their symbols, and what they say to people.
//! Their points are in the configuration.

/// A symbol that was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Symbol {
    pub name: String,
    pub points: f32,
    pub reason: String,
}

macro_rules! rules {
    ($($rule:ident $name:literal $reason:literal)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rule { $($rule),+ }

        impl Rule {
            pub const ALL: &[Self] = &[$(Self::$rule),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$rule => $name),+ }
            }

            /// The reason where the message gives none that is closer.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$rule => $reason),+ }
            }
        }
    };
}

rules! {
    NoMessageId "NO_MESSAGE_ID" "it has no Message-ID"
    OddMessageId "ODD_MESSAGE_ID" "its Message-ID is not of the form <left@right>"
    NoDate "NO_DATE" "it has no Date"
    OddDate "ODD_DATE" "its Date cannot be read"
    DateOff "DATE_OFF" "its Date is far from the time it was sent"
    NoFrom "NO_FROM" "it has no From"
    FromForgedName "FROM_FORGED_NAME" "the name in From is an address other than the sender's"
    FromManyDigits "FROM_MANY_DIGITS" "the address in From is full of digits"
    FromIsRecipient "FROM_IS_RECIPIENT" "it claims to come from its recipient"
    ReplyToFreemail "REPLY_TO_FREEMAIL" "answers go to a free mailbox, not to the sender"
    ReplyToElsewhere "REPLY_TO_ELSEWHERE" "answers go to another domain than the sender's"
    SubjectEmpty "SUBJECT_EMPTY" "it has no subject"
    SubjectCaps "SUBJECT_CAPS" "the subject is in capitals"
    SubjectShouts "SUBJECT_SHOUTS" "the subject shouts: !! or $$"
    SubjectDisguised "SUBJECT_DISGUISED" "a word of the subject is disguised"
    SubjectPadded "SUBJECT_PADDED" "the subject has a wide gap in it"
    SubjectRaw "SUBJECT_RAW" "the subject has octets of no declared charset"
    FakeReply "FAKE_REPLY" "the subject says that it is an answer, the header does not"
    NoTo "NO_TO" "it has no To"
    Undisclosed "UNDISCLOSED_RECIPIENTS" "its recipients are not named"
    ManyRecipients "MANY_RECIPIENTS" "To and Cc name very many recipients"
    HighPriority "HIGH_PRIORITY" "it calls itself urgent"
    ForgedOutlook "FORGED_OUTLOOK" "it says it was written with Outlook Express, which leaves other marks"
    NoMimeVersion "NO_MIME_VERSION" "it is MIME but does not say so"
    BulkNoUnsubscribe "BULK_NO_UNSUBSCRIBE" "bulk mail with no List-Unsubscribe"
    HtmlOnly "HTML_ONLY" "it has HTML and no plain text"
    HtmlHiddenText "HTML_HIDDEN_TEXT" "it has text that is not to be seen"
    HtmlWhiteText "HTML_WHITE_TEXT" "it has white text on white"
    HtmlSplitWords "HTML_SPLIT_WORDS" "words are cut up with invisible HTML"
    HtmlEncodedLetters "HTML_ENCODED_LETTERS" "plain letters are written as character references"
    HtmlImageOnly "HTML_IMAGE_ONLY" "it is a picture with hardly any text"
    HtmlForm "HTML_FORM" "it has a form to fill in"
    HtmlScript "HTML_SCRIPT" "it has a script"
    HtmlGaudy "HTML_GAUDY" "huge or red letters"
    LinkElsewhere "LINK_ELSEWHERE" "a link's text names another site than the one it leads to"
    UrlIp "URL_IP" "a link leads to a bare IP address"
    UrlShortener "URL_SHORTENER" "a link hides behind a URL shortener"
    UrlPunycode "URL_PUNYCODE" "a link's host name is written in look-alike letters"
    UrlTld "URL_TLD" "a link leads to a top-level domain where spam is common"
    UrlOdd "URL_ODD" "a link is written to be misread"
    UrlManyHosts "URL_MANY_HOSTS" "its links lead to very many hosts"
    TextBase64 "TEXT_BASE64" "plain English text hidden in base64"
    AttachedProgram "ATTACHED_PROGRAM" "a program is attached"
    AttachedDoubleExtension "ATTACHED_DOUBLE_EXTENSION" "a program is attached that looks like a document"
    AttachedProgramInArchive "ATTACHED_PROGRAM_IN_ARCHIVE" "an archive with a program in it is attached"
    AttachedMacros "ATTACHED_MACROS" "a document with macros is attached"
    AttachedLockedArchive "ATTACHED_LOCKED_ARCHIVE" "an encrypted archive is attached"
    AttachedWithPassword "ATTACHED_WITH_PASSWORD" "an archive is attached with its password beside it"
    AttachedMislabelled "ATTACHED_MISLABELLED" "an attachment is not what it is labelled"
    AttachedHtml "ATTACHED_HTML" "a web page is attached"
    SpfFail "SPF_FAIL" "the sender's domain does not allow this client (SPF)"
    SpfSoftfail "SPF_SOFTFAIL" "the sender's domain does not expect this client (SPF)"
    DkimFail "DKIM_FAIL" "its DKIM signature is broken"
    DmarcFail "DMARC_FAIL" "the domain in From is not proven (DMARC)"
    DmarcPass "DMARC_PASS" "the domain in From is proven (DMARC)"
    DkimPass "DKIM_PASS" "it is signed (DKIM)"
    Authenticated "AUTHENTICATED" "it comes from one of our users"
    ListMail "LIST_MAIL" "it comes from a mailing list that can be left"
    IsReply "IS_REPLY" "it answers an earlier message"
    IsReport "IS_REPORT" "it is a report of a mail system"
}
