/* What is trained of a model, and what a student has of its teacher. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/state.h"
#include "runtime/weights.h"
#include "scratch.h"
#include "suite.h"
#include "trained_model.h"

static bool is_query(const struct gqa_param *p)
{
    return strstr(p->name, "q_proj") || strstr(p->name, "SelfAttention.q");
}

static size_t find(const struct trained_model *m, const char *name)
{
    size_t i = 0;

    ck_assert(gqa_model_find(m->model, name, &i));
    return i;
}

/* All logits of the batch. */
static double *logits_of(const struct trained_model *m)
{
    const uint64_t n = BATCH_SEQUENCES * BATCH_LENGTH;
    double *out = calloc(n * m->network->vocab_size, sizeof *out);

    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(gqa_tape_forward(m->tape, trained_batch(m)), GQA_OK);
    ck_assert_int_eq(gqa_tape_logits(m->tape, 0, n, out), GQA_OK);
    return out;
}

/* What is written is what the model runs with; of tables, too. */
START_TEST(model_follows)
{
    static const struct {
        const char *fixture, *param;
    } of[] = {
        {"runtime/llama-grouped", "model.layers.1.self_attn.q_proj.weight"},
        {"runtime/t5-v1_1", "encoder.block.0.layer.0.SelfAttention."
                            "relative_attention_bias.weight"},
    };
    const struct gqa_master *master;
    struct trained_model m;
    double *before, *after, *again, *values;
    size_t param, bytes;

    trained_open(&m, of[_i].fixture, GQA_F64, 2, NULL);
    param = find(&m, of[_i].param);
    master = gqa_masters_of(m.masters, param);
    ck_assert_ptr_nonnull(master);
    ck_assert_uint_eq(master->n, master->rows * master->cols);
    values = calloc(master->n, sizeof *values);
    ck_assert_ptr_nonnull(values);
    bytes =
        BATCH_SEQUENCES * BATCH_LENGTH * m.network->vocab_size * sizeof *before;
    before = logits_of(&m);
    ck_assert_int_eq(gqa_masters_read(m.masters, param, values), GQA_OK);
    values[0] += 1;
    ck_assert_int_eq(gqa_masters_write(m.masters, param, values), GQA_OK);
    after = logits_of(&m);
    ck_assert_mem_ne(after, before, bytes);
    values[0] -= 1;
    ck_assert_int_eq(gqa_masters_write(m.masters, param, values), GQA_OK);
    again = logits_of(&m);
    for (size_t i = 0; i < bytes / sizeof *before; i++)
        ck_assert_double_le(fabs(again[i] - before[i]), 1e-12);
    free(values);
    free(before);
    free(after);
    free(again);
    trained_close(&m);
}
END_TEST

START_TEST(only_trained_ones_have_masters)
{
    struct trained_model m;
    size_t n = 0;

    trained_open(&m, "runtime/llama", GQA_F32, 1, is_query);
    for (size_t i = 0; i < m.model->n_params; i++) {
        const struct gqa_master *master = gqa_masters_of(m.masters, i);

        ck_assert_int_eq(master != NULL, is_query(&m.model->params[i]));
        if (!master)
            continue;
        ck_assert_ptr_eq(master->weights, m.runtime->weights[i].data);
        ck_assert_ptr_null(master->copy);
        n += master->n;
    }
    ck_assert_uint_eq(gqa_masters_bytes(m.runtime, m.trained),
                      n * sizeof(float));
    trained_close(&m);
}
END_TEST

/* A student that shares all but what it trains: as far as it is trained,
 * the teacher stays what it was. */
START_TEST(student_shares)
{
    const uint64_t n = BATCH_SEQUENCES * BATCH_LENGTH;
    struct trained_model teacher;
    struct trained_model student;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;
    struct gqa_tape_options options;
    double *before, *after, *of_student;
    size_t *same, trained = 0;

    trained_open(&teacher, _i ? "runtime/t5-v1_1" : "runtime/llama-grouped",
                 GQA_F64, 2, is_query);
    before = logits_of(&teacher);
    student = teacher;
    same = calloc(teacher.model->n_params, sizeof *same);
    ck_assert_ptr_nonnull(same);
    for (size_t i = 0; i < teacher.model->n_params; i++)
        same[i] = i % 7 == 3 ? GQA_NO_PARAM : i;
    weights =
        (struct gqa_checkpoint_weights){teacher.checkpoint, teacher.model};
    source = gqa_checkpoint_weight_source(&weights);
    ck_assert_int_eq(gqa_runtime_create_sharing(&student.runtime,
                                                teacher.network,
                                                teacher.runtime->device,
                                                &source, teacher.runtime, same),
                     GQA_OK);
    ck_assert_int_eq(
        gqa_masters_create(&student.masters, student.runtime, student.trained),
        GQA_OK);
    for (size_t i = 0; i < teacher.model->n_params; i++) {
        const void *its = student.runtime->weights[i].data;

        if (!its)
            continue;
        ck_assert_int_eq(its == teacher.runtime->weights[i].data,
                         same[i] != GQA_NO_PARAM && !teacher.trained[i]);
        if (teacher.trained[i])
            trained = i;
    }
    options = trained_options(&student);
    student.tape = NULL;
    trained_tape(&student, &options);
    of_student = logits_of(&student);
    ck_assert_mem_eq(of_student, before,
                     n * teacher.network->vocab_size * sizeof *before);
    /* A step of the student's. */
    ((double *)gqa_masters_of(student.masters, trained)->weights)[0] += 1;
    after = logits_of(&teacher);
    ck_assert_mem_eq(after, before,
                     n * teacher.network->vocab_size * sizeof *before);
    gqa_tape_free(student.tape);
    gqa_masters_free(student.masters);
    gqa_runtime_free(student.runtime);
    free(same);
    free(before);
    free(after);
    free(of_student);
    trained_close(&teacher);
}
END_TEST

START_TEST(refuses_what_is_not_there)
{
    struct trained_model m;
    struct gqa_masters *masters = NULL;
    struct gqa_runtime *runtime = NULL;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;
    struct gqa_backend backend = *gqa_cpu_backend();
    size_t *same;

    trained_open(&m, "runtime/llama", GQA_F64, 1, is_query);
    same = calloc(m.model->n_params, sizeof *same);
    ck_assert_ptr_nonnull(same);
    for (size_t i = 0; i < m.model->n_params; i++)
        same[i] = GQA_NO_PARAM;
    same[find(&m, "model.layers.0.mlp.up_proj.weight")] =
        find(&m, "model.norm.weight");
    weights = (struct gqa_checkpoint_weights){m.checkpoint, m.model};
    source = gqa_checkpoint_weight_source(&weights);
    ck_assert_int_eq(gqa_runtime_create_sharing(&runtime, m.network,
                                                m.runtime->device, &source,
                                                m.runtime, same),
                     GQA_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "up_proj"));
    backend.gradients = NULL;
    m.runtime->backend = &backend;
    ck_assert_int_eq(gqa_masters_create(&masters, m.runtime, m.trained),
                     GQA_ERR_UNSUPPORTED);
    m.runtime->backend = gqa_cpu_backend();
    free(same);
    trained_close(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("masters");
    TCase *tcase = tcase_create("masters");

    tcase_add_loop_test(tcase, model_follows, 0, 2);
    tcase_add_test(tcase, only_trained_ones_have_masters);
    tcase_add_loop_test(tcase, student_shares, 0, 2);
    tcase_add_test(tcase, refuses_what_is_not_there);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
