/*
 * Rows that a tap saw, kept as they came, batch by batch: on the device where
 * that has room for them and leaves some, else on the host.
 */
#ifndef GQA_ALIGN_RECORDS_H
#define GQA_ALIGN_RECORDS_H

#include "runtime/taps.h"

struct gqa_records;

/* backend and device are lent. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_records_create(struct gqa_records **out,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device);
void gqa_records_free(struct gqa_records *records);

/* Keep the rows, padding too, of a tap that gives whole batches. Errors
 * GQA_ERR_NOMEM, and those of the device. */
GQA_MUST_USE
enum gqa_status gqa_records_add(struct gqa_records *records,
                                const struct gqa_tapped *tapped);

/* Forget them all; the memory stays for those that follow. */
void gqa_records_clear(struct gqa_records *records);

/* Rows of batch number `batch`, on the device: real [n_rows, width] as they
 * were added. Lent until the next call. Errors those of the device. */
GQA_MUST_USE
enum gqa_status gqa_records_batch(const void **out, struct gqa_records *records,
                                  size_t batch);

#endif
