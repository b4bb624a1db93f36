/*
 * The kernel's command line. Load options win over the file, when they are text: boot managers put
 * binary data there too (the firmware's own boot entries carry a GUID), and the UEFI shell puts
 * the program's name first. So load options count only as UTF-16 of plain ASCII, and a first word
 * that ends in ".efi" is dropped.
 */
#include "app.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool cmdline_has(const char *line, const char *word)
{
	uint64_t len = __builtin_strlen(word), n;

	while (*line) {
		while (is_blank(*line))
			line++;
		for (n = 0; line[n] && !is_blank(line[n]); n++)
			;
		if (n == len && !__builtin_memcmp(line, word, len))
			return true;
		line += n;
	}
	return false;
}

/* Make one line: control characters become blanks, blanks at both ends go. */
static void tidy(char *line)
{
	uint64_t from = 0, len, i;

	for (i = 0; line[i]; i++)
		if ((uint8_t)line[i] < ' ')
			line[i] = ' ';
	while (line[from] == ' ')
		from++;
	len = i - from;
	__builtin_memmove(line, line + from, len + 1);
	while (len && line[len - 1] == ' ')
		line[--len] = 0;
}

/* Cut a first word that names this program. */
static void drop_program_name(char *line)
{
	uint64_t n = 0, i;
	char end[4];

	while (line[n] && line[n] != ' ')
		n++;
	if (n < 4)
		return;
	for (i = 0; i < 4; i++)
		end[i] = line[n - 4 + i] | 0x20;
	if (__builtin_memcmp(end, ".efi", 4))
		return;
	__builtin_memset(line, ' ', n);
	tidy(line);
}

/* => false when the load options are not text or do not fit; line is empty then */
static bool from_load_options(struct app *app, char *line)
{
	const uint8_t *p = app->self->LoadOptions;
	uint32_t n = app->self->LoadOptionsSize / 2, i;
	uint16_t c;

	line[0] = 0;
	if (!p || app->self->LoadOptionsSize % 2)
		return false;
	for (i = 0; i < n; i++) {
		/* Not aligned: they lie behind a device path in the boot variable. */
		c = (uint16_t)(p[i * 2] | p[i * 2 + 1] << 8);
		if (!c)
			break;
		if (i + 1 == APP_CMDLINE_MAX || c > '~' || (c < ' ' && !is_blank((char)c))) {
			line[0] = 0;
			return false;
		}
		line[i] = (char)c;
		line[i + 1] = 0;
	}
	tidy(line);
	drop_program_name(line);
	return line[0];
}

static EFI_STATUS from_file(struct app *app, char *line)
{
	struct blob text;
	EFI_STATUS status = file_read(app, APP_CMDLINE_PATH, HANDOFF_MEM_LOADER, &text);
	const uint8_t *p = (const uint8_t *)text.phys;
	uint64_t skip = 0;

	line[0] = 0;
	if (status == EFI_NOT_FOUND || (!EFI_ERROR(status) && !text.len))
		return EFI_SUCCESS;
	if (EFI_ERROR(status))
		return app_fail(app, status, "cannot read %S", APP_CMDLINE_PATH);
	/* Editors put a UTF-8 byte order mark in front. */
	if (text.len >= 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf)
		skip = 3;
	if (text.len - skip >= APP_CMDLINE_MAX) {
		pages_shrink(app, text.phys, 0);
		return app_fail(app, EFI_BAD_BUFFER_SIZE, "%S is longer than %u bytes",
				APP_CMDLINE_PATH, APP_CMDLINE_MAX - 1);
	}
	__builtin_memcpy(line, p + skip, text.len - skip);
	line[text.len - skip] = 0;
	pages_shrink(app, text.phys, 0);
	tidy(line);
	return EFI_SUCCESS;
}

EFI_STATUS cmdline_get(struct app *app)
{
	EFI_STATUS status = EFI_SUCCESS;

	if (!from_load_options(app, app->cmdline))
		status = from_file(app, app->cmdline);
	app->nokaslr = cmdline_has(app->cmdline, "nokaslr");
	app->debug = cmdline_has(app->cmdline, "efi.debug");
	app->la57 = cmdline_has(app->cmdline, "la57");
	app->nola57 = cmdline_has(app->cmdline, "nola57") || cmdline_has(app->cmdline, "no5lvl");
	return status;
}
