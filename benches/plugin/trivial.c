/* A milter that does what the filter "headers" does: looks at three headers and adds one. As small as libmilter lets it be. */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

static sfsistat on_header(SMFICTX *context, char *name, char *value) {
    if (!strcasecmp(name, "From") || !strcasecmp(name, "To") || !strcasecmp(name, "Subject")) {
        intptr_t octets = (intptr_t)smfi_getpriv(context);
        smfi_setpriv(context, (void *)(octets + (intptr_t)strlen(value)));
    }
    return SMFIS_CONTINUE;
}

static sfsistat on_end(SMFICTX *context) {
    char text[32];
    snprintf(text, sizeof text, "%ld", (long)(intptr_t)smfi_getpriv(context));
    smfi_setpriv(context, NULL);
    smfi_addheader(context, "X-Octets", text);
    return SMFIS_CONTINUE;
}

int main(int count, char **arguments) {
    struct smfiDesc milter = {
        .xxfi_name = "trivial",
        .xxfi_version = SMFI_VERSION,
        .xxfi_flags = SMFIF_ADDHDRS,
        .xxfi_header = on_header,
        .xxfi_eom = on_end,
    };
    if (count != 2 || smfi_setconn(arguments[1]) != MI_SUCCESS || smfi_register(milter) != MI_SUCCESS)
        return 2;
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}
