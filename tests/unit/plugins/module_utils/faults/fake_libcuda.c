/* Copyright: (c) 2026, The rcalab.llm authors
 * GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A stand-in of libcuda.so.1: the functions that the helper calls, with the signatures of cuda.h.
 * FOLDER/calls gets a line for each, FOLDER/cuda/PID says what the process holds. The driver's
 * first device is nvidia-smi's second. While the process in FOLDER/engine lives, little is free.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OUT_OF_MEMORY 2
#define INVALID_VALUE 1
#define MIB (1024L * 1024L)
#define FREE_MIB 6000
#define FREE_WITHOUT_ENGINE_MIB 80000

static long held_mib;
static int device_of_context = -1;
static unsigned long long span_ns;
static int launches;

static void note(const char *format, ...)
{
    char line[512];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    int file = open(FOLDER "/calls", O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (write(file, line, length) != length)
        _exit(99);
    close(file);
}

static void record(const char *works)
{
    char path[256], temporary[256];
    snprintf(path, sizeof path, "%s/cuda/%d", FOLDER, getpid());
    snprintf(temporary, sizeof temporary, "%s/cuda.%d", FOLDER, getpid());
    FILE *file = fopen(temporary, "w");
    const char *digits = device_of_context == 1 ? "a0" : "a1";
    fprintf(file, "GPU-");
    for (int byte = 0; byte < 16; byte++)
        fprintf(file, "%s%s", byte == 4 || byte == 6 || byte == 8 || byte == 10 ? "-" : "", digits);
    fprintf(file, " %ld %s\n", held_mib + 500, works);
    fclose(file);
    rename(temporary, path);
}

int cuInit(unsigned int flags)
{
    note("cuInit %u\n", flags);
    return access(FOLDER "/broken", F_OK) == 0 ? 999 : 0;
}

int cuGetErrorName(int error, const char **text)
{
    *text = error == 999 ? "CUDA_ERROR_UNKNOWN" : "CUDA_ERROR_INVALID_VALUE";
    return 0;
}

int cuDeviceGetCount(int *count)
{
    *count = 2;
    return 0;
}

int cuDeviceGet(int *device, int number)
{
    *device = number;
    return number < 2 ? 0 : INVALID_VALUE;
}

int cuDeviceGetUuid(unsigned char *uuid, int device)
{
    memset(uuid, device == 1 ? 0xa0 : 0xa1, 16);
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    *value = attribute == 16 && device == device_of_context ? 132 : 0;
    return 0;
}

int cuCtxCreate_v2(void **context, unsigned int flags, int device)
{
    note("cuCtxCreate_v2 %u %d\n", flags, device);
    *context = &device_of_context;
    device_of_context = device;
    record("waits");
    return 0;
}

int cuMemAlloc_v2(unsigned long long *address, size_t size)
{
    int engine = 0, lives = 0;
    FILE *file = fopen(FOLDER "/engine", "r");
    if (file != NULL) {
        lives = fscanf(file, "%d", &engine) == 1 && kill(engine, 0) == 0;
        fclose(file);
    }
    long mib = (size + MIB - 1) / MIB;
    if (device_of_context < 0 || size == 0)
        return INVALID_VALUE;
    if (held_mib + mib > (lives ? FREE_MIB : FREE_WITHOUT_ENGINE_MIB))
        return OUT_OF_MEMORY;
    held_mib += mib;
    *address = 0x700000000000ULL + held_mib * MIB;
    record("holds");
    return 0;
}

int cuModuleLoadData(void **module, const char *image)
{
    note("cuModuleLoadData %s\n", strstr(image, ".visible .entry spin(") ? "spin" : "?");
    *module = &span_ns;
    return 0;
}

int cuModuleGetFunction(void **function, void *module, const char *name)
{
    note("cuModuleGetFunction %s\n", name);
    *function = &launches;
    return module == &span_ns ? 0 : INVALID_VALUE;
}

int cuLaunchKernel(void *function, unsigned int gx, unsigned int gy, unsigned int gz,
                   unsigned int bx, unsigned int by, unsigned int bz, unsigned int shared,
                   void *stream, void **parameters, void **extra)
{
    if (function != &launches || stream != NULL || extra != NULL)
        return INVALID_VALUE;
    span_ns = *(unsigned long long *)parameters[0];
    if (launches++ == 0)
        note("cuLaunchKernel %u %u %u %u %u %u %u %llu %d\n", gx, gy, gz, bx, by, bz, shared,
             span_ns, *(unsigned long long *)parameters[1] > 0x700000000000ULL);
    record("spins");
    return 0;
}

int cuCtxSynchronize(void)
{
    usleep(span_ns / 1000);
    return 0;
}
