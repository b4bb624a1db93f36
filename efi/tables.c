/*
 * ACPI and SMBIOS entry points from the configuration table. A firmware may list several root
 * pointers, one of them broken, so every one is checked and the best taken: one with a good XSDT
 * before one that only has an RSDT (ACPI 6.5, 5.2.5.3). A broken extended checksum does not
 * spoil the first 20 bytes: the kernel falls back to the RSDT by the same rule.
 */
#include "app.h"

#define MAX_TABLES 4096u

static const EFI_GUID acpi20_guid = ACPI_20_TABLE_GUID;
static const EFI_GUID acpi10_guid = ACPI_TABLE_GUID;
static const EFI_GUID smbios_guid = SMBIOS_TABLE_GUID;
static const EFI_GUID smbios3_guid = SMBIOS3_TABLE_GUID;

static bool sums_to_zero(const uint8_t *p, uint32_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return !sum;
}

static uint64_t get(const uint8_t *p, uint32_t len)
{
	uint64_t v = 0;

	__builtin_memcpy(&v, p, len);
	return v;
}

/* 2: usable XSDT, 1: usable RSDT, 0: not a root pointer. */
static uint32_t rsdp_rank(const uint8_t *p)
{
	uint64_t len;

	if (__builtin_memcmp(p, "RSD PTR ", 8) || !sums_to_zero(p, 20))
		return 0;
	if (p[15] >= 2) {
		len = get(p + 20, 4);
		if (len >= 36 && len <= APP_PAGE && sums_to_zero(p, (uint32_t)len) && get(p + 24, 8))
			return 2;
	}
	return get(p + 16, 4) ? 1 : 0;
}

/* SMBIOS 3.6, 5.2: entry point structures. Returns the major version or 0. */
static uint32_t smbios_rank(const uint8_t *p)
{
	if (!__builtin_memcmp(p, "_SM3_", 5) && p[6] >= 24 && sums_to_zero(p, p[6]))
		return 3;
	if (!__builtin_memcmp(p, "_SM_", 4) && p[5] >= 30 && sums_to_zero(p, p[5]))
		return 2;
	return 0;
}

static bool is(const EFI_GUID *a, const EFI_GUID *b)
{
	return !__builtin_memcmp(a, b, sizeof(*a));
}

void tables_find(struct app *app)
{
	EFI_CONFIGURATION_TABLE *t = app->st->ConfigurationTable;
	uint64_t n = app->st->NumberOfTableEntries, i;
	uint32_t best = 0, rank;

	for (i = 0; t && i < n && i < MAX_TABLES; i++) {
		if (!t[i].VendorTable)
			continue;
		if (is(&t[i].VendorGuid, &acpi20_guid) || is(&t[i].VendorGuid, &acpi10_guid)) {
			rank = rsdp_rank(t[i].VendorTable);
			if (!rank)
				app_debug(app, "ACPI root pointer with a bad checksum skipped\n");
			if (rank > best) {
				best = rank;
				app->rsdp = (uint64_t)t[i].VendorTable;
			}
		} else if (is(&t[i].VendorGuid, &smbios_guid) ||
			   is(&t[i].VendorGuid, &smbios3_guid)) {
			rank = smbios_rank(t[i].VendorTable);
			if (rank > app->smbios_major) {
				app->smbios_major = rank;
				app->smbios = (uint64_t)t[i].VendorTable;
			}
		}
	}
}
