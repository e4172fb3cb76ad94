/* A dma-heap made of memfds, for LD_PRELOAD. Machines without a Raspberry Pi's kernel have no
 * /dev/dma_heap, and libcamera's `virtual` pipeline takes its buffers from there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static int opened(const char *name, const char *path, int flags, mode_t mode)
{
	int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);

	return real(strncmp(path, "/dev/dma_heap/", 14) ? path : "/dev/null", flags, mode);
}

#define OPEN(name)                                    \
	int name(const char *path, int flags, ...)        \
	{                                                 \
		va_list rest;                                 \
		mode_t mode = 0;                              \
		if (flags & (O_CREAT | __O_TMPFILE)) {        \
			va_start(rest, flags);                    \
			mode = va_arg(rest, mode_t);              \
			va_end(rest);                             \
		}                                             \
		return opened(#name, path, flags, mode);      \
	}

OPEN(open)
OPEN(open64)

static int allocate(struct dma_heap_allocation_data *wanted)
{
	int buffer = memfd_create("dma-heap", MFD_CLOEXEC);

	if (buffer < 0)
		return -1;
	if (ftruncate(buffer, (off_t)wanted->len)) {
		close(buffer);
		return -1;
	}
	wanted->fd = (unsigned int)buffer;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
	va_list rest;
	void *argument;

	va_start(rest, request);
	argument = va_arg(rest, void *);
	va_end(rest);
	if (request == DMA_HEAP_IOCTL_ALLOC)
		return allocate(argument);
	/* Memory that no device writes needs no syncing, and a memfd has its name already. */
	if (request == DMA_BUF_IOCTL_SYNC || request == DMA_BUF_SET_NAME)
		return 0;
	return real(fd, request, argument);
}
