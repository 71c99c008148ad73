mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

}

variables {
  bucket  = "trials"
  studies = ["studies/first", "studies/second"]
}

run "nobody_writes_over_records_or_deletes_them" {
  command = plan

  assert {
    condition = length([
      for statement in jsondecode(aws_s3_bucket_policy.this[0].policy).Statement : statement
      if statement.Effect == "Deny" && statement.Principal == "*"
      && contains(statement.Action, "s3:PutObject") && try(statement.Condition.Null["s3:if-none-match"], "") == "true"
      && alltrue([for part in ["study.json", "log/*", "chain/*", "submissions/*"] : contains(statement.Resource, "arn:aws:s3:::trials/studies/second/${part}")])
    ]) == 1
    error_message = "An unconditional PutObject of a record has to be denied to everybody."
  }

  assert {
    condition = length([
      for statement in jsondecode(aws_s3_bucket_policy.this[0].policy).Statement : statement
      if statement.Effect == "Deny" && statement.Principal == "*"
      && contains(statement.Action, "s3:DeleteObject") && contains(statement.Action, "s3:DeleteObjectVersion")
      && contains(statement.Resource, "arn:aws:s3:::trials/studies/first/log/*")
    ]) == 1
    error_message = "Deleting a record has to be denied to everybody."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.this[0].policy).Statement : statement.Effect == "Deny"])
    error_message = "The bucket's policy grants nothing."
  }

  assert {
    condition     = length(distinct([for statement in jsondecode(aws_s3_bucket_policy.this[0].policy).Statement : statement.Sid])) == 5
    error_message = "Two statements for each study and one for the bucket, each with a Sid of its own."
  }
}

run "over_tls_only" {
  command = plan

  assert {
    condition = [
      for statement in jsondecode(aws_s3_bucket_policy.this[0].policy).Statement : statement.Resource
      if try(statement.Condition.Bool["aws:SecureTransport"], "") == "false" && statement.Effect == "Deny" && contains(statement.Action, "s3:*")
    ] == [["arn:aws:s3:::trials", "arn:aws:s3:::trials/*"]]
    error_message = "Plain HTTP has to be denied for the whole bucket."
  }
}

run "nothing_is_public_and_everything_encrypted" {
  command = plan

  assert {
    condition = (
      aws_s3_bucket_public_access_block.this[0].block_public_acls && aws_s3_bucket_public_access_block.this[0].block_public_policy
      && aws_s3_bucket_public_access_block.this[0].ignore_public_acls && aws_s3_bucket_public_access_block.this[0].restrict_public_buckets
    )
    error_message = "Public access has to be blocked."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this[0].rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "No ACLs."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this[0].rule[*]).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "S3's own encryption by default."
  }

  assert {
    condition     = !aws_s3_bucket.this[0].force_destroy
    error_message = "A bucket that holds something is kept."
  }
}

run "uploads_that_were_given_up_cost_nothing_and_nothing_else_expires" {
  command = plan

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this[0].rule) == 1 && aws_s3_bucket_lifecycle_configuration.this[0].rule[0].abort_incomplete_multipart_upload[0].days_after_initiation == 1
    error_message = "Only unfinished uploads expire, after a day."
  }
}

run "checkpoints_expire_where_asked" {
  command = plan

  variables {
    checkpoint_days = 30
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this[0].rule : rule.filter[0].prefix if length(rule.expiration) > 0] == ["studies/first/checkpoints/", "studies/second/checkpoints/"]
    error_message = "Checkpoints of the studies, and nothing else."
  }
}

run "a_bucket_that_exists_is_left_as_it_is" {
  command = plan

  variables {
    create_bucket = false
  }

  assert {
    condition     = length(aws_s3_bucket.this) + length(aws_s3_bucket_policy.this) + length(aws_s3_bucket_public_access_block.this) + length(aws_s3_bucket_lifecycle_configuration.this) == 0
    error_message = "Nothing of it is replaced."
  }

  assert {
    condition     = length(jsondecode(output.policy).Statement) == 5
    error_message = "Its policy is there to be merged by hand."
  }
}

run "a_prefix_with_a_wildcard_is_refused" {
  command = plan

  variables {
    studies = ["studies/*"]
  }

  expect_failures = [var.studies]
}

run "checkpoints_that_a_study_needs_are_kept" {
  command = plan

  variables {
    checkpoint_days = 1
  }

  expect_failures = [var.checkpoint_days]
}
