/*
 * Files of the volume the application came from, and the LoadFile2 initrd.
 *
 * Reads are 1 MiB at most (some firmware fails large ones) and go on until a read returns nothing:
 * EFI_FILE_INFO's size is only the first guess of the buffer's size, because some firmware
 * reports 0 there. The buffer doubles when the guess was wrong, and its end is given back.
 */
#include "app.h"

#define CHUNK		(1024u * 1024u)
#define FIRST_GUESS	(256u * 1024u)
#define SIZE_SANE	(1ull << 40)

static const EFI_GUID loaded_fs_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
static const EFI_GUID file_info_guid = EFI_FILE_INFO_ID;

/* UEFI 2.10, 13.2: EFI_LOAD_FILE2_PROTOCOL. */
struct load_file2 {
	EFI_STATUS (EFIAPI *load_file)(struct load_file2 *self, EFI_DEVICE_PATH *path,
				       BOOLEAN boot_policy, UINTN *size, VOID *buf);
};

static const EFI_GUID load_file2_guid = {
	0x4006c0c1, 0xfcb3, 0x403e, { 0x99, 0x6d, 0x4a, 0x6c, 0x87, 0x24, 0xe0, 0x6d }
};

/* The device path by which boot managers offer an initrd: one vendor media node. */
static const struct {
	EFI_DEVICE_PATH vendor;
	EFI_GUID guid;
	EFI_DEVICE_PATH end;
} __attribute__((packed)) initrd_path = {
	{ 4, 3, { 20, 0 } },
	{ 0x5568e427, 0x68fc, 0x4f3d, { 0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68 } },
	{ 0x7f, 0xff, { 4, 0 } },
};

void volume_open(struct app *app)
{
	EFI_FILE_IO_INTERFACE *fs = NULL;
	EFI_STATUS status;

	app->root = NULL;
	if (!app->self->DeviceHandle)
		return;
	status = app->bs->HandleProtocol(app->self->DeviceHandle, (EFI_GUID *)&loaded_fs_guid,
					 (VOID **)&fs);
	if (!EFI_ERROR(status) && fs)
		status = fs->OpenVolume(fs, &app->root);
	if (EFI_ERROR(status))
		app->root = NULL;
}

void volume_close(struct app *app)
{
	if (app->root)
		app->root->Close(app->root);
	app->root = NULL;
}

/* What the file says its size is; 0 when it does not. */
static EFI_STATUS size_hint(EFI_FILE_HANDLE file, uint64_t *size)
{
	union {
		EFI_FILE_INFO info;
		uint8_t bytes[sizeof(EFI_FILE_INFO) + 2 * 256];
	} u;
	UINTN len = sizeof(u);

	*size = 0;
	__builtin_memset(&u, 0, sizeof(u));
	if (EFI_ERROR(file->GetInfo(file, (EFI_GUID *)&file_info_guid, &len, &u)))
		return EFI_SUCCESS;
	if (u.info.Attribute & EFI_FILE_DIRECTORY)
		return EFI_NOT_FOUND;
	if (u.info.FileSize < SIZE_SANE)
		*size = u.info.FileSize;
	return EFI_SUCCESS;
}

static EFI_STATUS grow(struct app *app, struct blob *blob, uint64_t *cap, enum handoff_mem type)
{
	EFI_STATUS status;
	uint64_t base;

	status = pages_alloc(app, *cap * 2 / APP_PAGE, 0, type, &base);
	if (EFI_ERROR(status))
		return status;
	__builtin_memcpy((void *)base, (void *)blob->phys, blob->len);
	pages_shrink(app, blob->phys, 0);
	blob->phys = base;
	*cap *= 2;
	return EFI_SUCCESS;
}

static EFI_STATUS read_all(struct app *app, EFI_FILE_HANDLE file, uint64_t cap,
			   enum handoff_mem type, struct blob *out)
{
	EFI_STATUS status;
	UINTN want, got;

	for (;;) {
		if (out->len == cap) {
			status = grow(app, out, &cap, type);
			if (EFI_ERROR(status))
				return status;
		}
		want = cap - out->len < CHUNK ? cap - out->len : CHUNK;
		got = want;
		status = file->Read(file, &got, (void *)(out->phys + out->len));
		if (EFI_ERROR(status))
			return status;
		if (got > want)
			return EFI_DEVICE_ERROR;
		if (!got)
			return EFI_SUCCESS;
		out->len += got;
	}
}

EFI_STATUS file_read(struct app *app, const CHAR16 *path, enum handoff_mem type,
		     struct blob *out)
{
	EFI_FILE_HANDLE file = NULL;
	EFI_STATUS status;
	uint64_t size;

	*out = (struct blob){ 0 };
	if (!app->root)
		return EFI_NOT_FOUND;
	status = app->root->Open(app->root, &file, (CHAR16 *)path, EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(status))
		return status;
	status = size_hint(file, &size);
	if (!EFI_ERROR(status)) {
		/* One page more than it says: the read that finds the end needs room too. */
		size = size ? (size + 2 * APP_PAGE - 1) & ~(APP_PAGE - 1) : FIRST_GUESS;
		status = pages_alloc(app, size / APP_PAGE, 0, type, &out->phys);
	}
	if (!EFI_ERROR(status)) {
		status = read_all(app, file, size, type, out);
		pages_shrink(app, out->phys, EFI_ERROR(status) ? 0 :
			     (out->len + APP_PAGE - 1) / APP_PAGE);
	}
	file->Close(file);
	if (EFI_ERROR(status) || !out->len)
		*out = (struct blob){ 0 };
	return status;
}

EFI_STATUS initrd_from_protocol(struct app *app, struct blob *out)
{
	EFI_DEVICE_PATH *path = (EFI_DEVICE_PATH *)&initrd_path;
	struct load_file2 *lf = NULL;
	EFI_HANDLE handle = NULL;
	EFI_STATUS status;
	UINTN size = 0;

	*out = (struct blob){ 0 };
	status = app->bs->LocateDevicePath((EFI_GUID *)&load_file2_guid, &path, &handle);
	if (EFI_ERROR(status))
		return EFI_NOT_FOUND;
	status = app->bs->HandleProtocol(handle, (EFI_GUID *)&load_file2_guid, (VOID **)&lf);
	if (EFI_ERROR(status) || !lf)
		return EFI_NOT_FOUND;
	status = lf->load_file(lf, path, FALSE, &size, NULL);
	if (status != EFI_BUFFER_TOO_SMALL)
		return EFI_ERROR(status) ? status : EFI_SUCCESS;
	status = pages_alloc(app, (size + APP_PAGE - 1) / APP_PAGE, 0, HANDOFF_MEM_LOADER,
			     &out->phys);
	if (EFI_ERROR(status))
		return status;
	status = lf->load_file(lf, path, FALSE, &size, (void *)out->phys);
	out->len = size;
	if (EFI_ERROR(status)) {
		pages_shrink(app, out->phys, 0);
		*out = (struct blob){ 0 };
	}
	return status;
}
